"""Fusion: two scores become one."""

import pytest

from rag_service.retrieval.fusion import LEXICAL_WEIGHT, fuse


def test_the_sum_is_the_cosine_plus_the_weighted_share_of_the_best_bm25() -> None:
    """The best lexical score counts fully, others in proportion, missing ones nothing."""
    fused = fuse({1: 0.5, 2: 0.25}, {2: 8.0, 3: 4.0})
    assert fused == pytest.approx({1: 0.5, 2: 0.25 + LEXICAL_WEIGHT, 3: LEXICAL_WEIGHT / 2})


def test_without_any_word_in_common_the_cosine_alone_ranks() -> None:
    """No lexical hit, or only hits of score 0, leave the cosines as they are."""
    assert fuse({1: 0.5}, {}) == {1: 0.5}
    assert fuse({1: 0.5}, {1: 0.0}) == {1: 0.5}
    assert fuse({}, {}) == {}
