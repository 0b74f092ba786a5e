"""The ranking is the same whatever is read of it first, and BM25 is asked about few."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from corpus.follower import CollectionIndexes
from corpus.lexical_index import LexicalIndex
from corpus.vector_index.faiss_index import FaissVectorIndex
from rag_service.retrieval.candidates import Place, Query, rank_candidates
from rag_service.retrieval.fusion import fuse

DIMENSION = 8
WORDS = ["ice", "fuel", "ship", "pump", "north", "red"]
texts = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join), max_size=25)


def unit_vectors(count: int, seed: int) -> NDArray[np.float32]:
    """Return random unit vectors."""
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def place_of(texts: Sequence[str], vectors: NDArray[np.float32], first_id: int = 0) -> Place:
    """Index texts and vectors under the same ids; there may be fewer vectors."""
    lexical, index = LexicalIndex(), FaissVectorIndex(DIMENSION)
    lexical.add(range(first_id, first_id + len(texts)), texts)
    lexical.commit()
    index.add(np.arange(first_id, first_id + len(vectors)), vectors)
    return Place(CollectionIndexes("col", "gen", "e@1", None, "e/8/0", index, lexical, 1), None)


def offered(query: Query, place: Place, count: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return what both indexes say of every chunk that either has among its `count` best."""
    assert query.vectors is not None
    assert query.words is not None
    everything = len(place.indexes.lexical) + 1
    scores, ids = place.indexes.vectors.search(query.vectors["e@1"], everything)
    dense = [pair for pair in zip(ids[0].tolist(), scores[0].tolist(), strict=True) if pair[0] >= 0]
    lexical = place.indexes.lexical.search(query.words, everything)
    either = {each for each, _ in dense[:count] + lexical[:count]}
    return tuple({each: score for each, score in all_ if each in either} for all_ in (dense, lexical))  # type: ignore[return-value]


@settings(max_examples=150, deadline=None)
@given(
    shelves=st.lists(texts, min_size=1, max_size=2),
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    counts=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    without_vectors=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_ranking_does_not_depend_on_what_is_read_first(
    shelves: list[list[str]], words: str, counts: tuple[int, int], without_vectors: int, seed: int
) -> None:
    """Equal to fusing what both indexes say of all that either offers, over one collection and two."""
    count, first = counts
    places = [
        place_of(texts, unit_vectors(len(texts), seed + turn)[: len(texts) - without_vectors], 100 * turn)
        for turn, texts in enumerate(shelves)
    ]
    query = Query({"e@1": unit_vectors(1, seed + 9)}, words)
    offers = [offered(query, place, count) for place in places]
    dense, lexical = offers[0][0] | offers[-1][0], offers[0][1] | offers[-1][1]
    expected = fuse(dense, lexical, texts=sum(map(len, shelves)))
    ranking = list(rank_candidates(query, places, count, first=first))
    fused = [scores.fused for _, scores in ranking]
    assert {each for each, _ in ranking} == set(expected)
    assert len(ranking) == len(expected)
    assert fused == sorted(fused, reverse=True)
    for each, scores in ranking:
        assert scores.fused == pytest.approx(expected[each], abs=1e-5)
        assert scores.dense == dense.get(each)
        assert scores.lexical == pytest.approx(lexical.get(each), abs=1e-5)


def test_bm25_is_asked_about_what_it_can_bring_among_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """About the rest only when somebody reads on."""
    vectors = np.zeros((30, DIMENSION), dtype=np.float32)
    vectors[:, 0] = [1, 0.99, 0.6, 0.6, *[0.5] * 16, 0.9, *[0.5] * 9]
    vectors[:, 1] = np.sqrt(1 - vectors[:, 0] ** 2)
    place = place_of(["ice ice ice"] + ["north"] * 19 + ["ice"] * 10, vectors)
    asked: list[list[int]] = []
    search = LexicalIndex.search

    def spy(index: LexicalIndex, query: str, k: int, *, allowed: Sequence[int] | None = None) -> object:
        asked.append([] if allowed is None else list(allowed))
        return search(index, query, k, allowed=allowed)

    monkeypatch.setattr(LexicalIndex, "search", spy)
    query = Query({"e@1": np.eye(1, DIMENSION, dtype=np.float32)}, "ice")
    ranking = rank_candidates(query, [place], 5, first=2)
    assert [next(ranking)[0], next(ranking)[0]] == [0, 1]
    assert asked == [[], [1]]  # the third could only have had as much as the last of those that BM25 found
    assert len(rest := list(ranking)) == 6
    assert rest[0][0] == 20
    assert asked[2:] == [[2, 3]]
