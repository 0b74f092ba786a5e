"""Conversations to train on: importers from public formats, statistics, checks for leaks."""
