"""Fusion: two scores become one."""

from math import log

import pytest

from rag_service.retrieval.fusion import LEXICAL_LIMIT, LEXICAL_WEIGHT, fuse

TEXTS = 1000


def test_the_sum_is_the_cosine_plus_weighted_bm25() -> None:
    """A chunk without the query's words gets nothing for them, one without a vector the mean cosine."""
    fused = fuse({1: 0.5, 2: 0.25}, {2: 8.0, 3: 4.0}, texts=TEXTS)
    weight = LEXICAL_WEIGHT / log(2 + TEXTS)
    assert fused == pytest.approx({1: 0.5, 2: 0.25 + 8 * weight, 3: 0.375 + 4 * weight})


def test_in_more_texts_a_match_has_to_be_rarer() -> None:
    """The same BM25 score is worth less."""
    assert fuse({}, {1: 8.0}, texts=10)[1] > fuse({}, {1: 8.0}, texts=10_000)[1]


def test_words_never_drown_the_cosine() -> None:
    """The best chunk's words count the limit at most, others in proportion."""
    assert fuse({1: 0.5}, {1: 900.0, 2: 450.0}, texts=TEXTS) == pytest.approx(
        {1: 0.5 + LEXICAL_LIMIT, 2: 0.5 + LEXICAL_LIMIT / 2}
    )


def test_without_any_word_in_common_the_cosine_alone_ranks() -> None:
    """No lexical hit, or only hits of score 0, leave the cosines as they are."""
    assert fuse({1: 0.5}, {}, texts=TEXTS) == {1: 0.5}
    assert fuse({1: 0.5}, {1: 0.0}, texts=0) == {1: 0.5}
    assert fuse({}, {}, texts=0) == {}
