"""Questions in, answers out: retrieval, answering, evaluation, and at the edge HTTP, command line, pages.

Imports `indexer` and `corpus`; only `posttrain` imports it.
"""
