"""Measures of rankings, against values computed by hand."""

from math import log2

import pytest

from rag_service.evaluation.ranking import ndcg, recall, reciprocal_rank

JUDGED = {"a": 2, "b": 1, "c": 0}


def test_ndcg_with_grades() -> None:
    """(1 + 2 / log2 3) / (2 + 1 / log2 3): b before a, with grades 1 and 2."""
    assert ndcg(["b", "a", "x"], JUDGED) == pytest.approx((1 + 2 / log2(3)) / (2 + 1 / log2(3)))
    assert ndcg(["a", "b"], JUDGED) == 1.0


def test_ndcg_looks_at_the_first_k_only() -> None:
    """A relevant document at rank 3 gives 1/2 of the gain at rank 1, beyond k none."""
    assert ndcg(["x", "y", "d"], {"d": 1}) == pytest.approx(0.5)
    assert ndcg(["x", "y", "d"], {"d": 1}, k=2) == 0.0


def test_recall_counts_relevant_documents() -> None:
    """Grade 0 is not relevant."""
    assert recall(["a", "c"], JUDGED) == 0.5
    assert recall(["c", "b", "a"], JUDGED, k=2) == 0.5
    assert recall([], JUDGED) == 0.0


def test_reciprocal_rank_is_of_the_first_relevant_document() -> None:
    """Rank 2 gives 1/2."""
    assert reciprocal_rank(["c", "b", "a"], JUDGED) == 0.5
    assert reciprocal_rank(["c", "x", "a"], JUDGED, k=2) == 0.0


def test_without_relevant_documents_every_measure_is_zero() -> None:
    """No division by zero."""
    assert (ndcg(["c"], {"c": 0}), recall(["c"], {}), reciprocal_rank(["c"], {})) == (0.0, 0.0, 0.0)
