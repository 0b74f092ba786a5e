"""Measures and runners for retrieval and answers; post-training uses the same."""
