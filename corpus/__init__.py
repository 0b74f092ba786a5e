"""What the service and the indexer agree on: settings, errors, tables, originals, indexes.

Imports nothing of the project's other packages.
"""
