"""Candidates: what the indexes of one or several collections offer for a query, with both scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from corpus.follower import CollectionIndexes
from rag_service.retrieval.fusion import fuse
from rag_service.retrieval.passages import Scores

Ids = NDArray[np.int64]
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Query:
    """The two forms of a query; None: that index is not asked.

    Collections may be of several embedders: `vectors` has the query's by embedder's id.
    """

    vectors: Mapping[str, Vector] | None  # each of shape (1, dimension)
    words: str | None

    def vector(self, indexes: CollectionIndexes) -> Vector | None:
        """Return the vector that an index is searched with."""
        return None if self.vectors is None else self.vectors[indexes.embedder]


@dataclass(frozen=True, slots=True)
class Place:
    """One collection's indexes, and the chunks that may be returned (None: all)."""

    indexes: CollectionIndexes
    allowed: Ids | None


def rank_candidates(query: Query, places: Sequence[Place], count: int) -> Iterator[tuple[int, Scores]]:
    """Yield at least the `count` best chunks of each index, best first; ties go by chunk id.

    Few of them are looked at, so scores are put together only then.

    One embedder makes cosines comparable from collection to collection; those of several embedders, and
    BM25 scores, are taken as if they were.
    """
    dense: dict[int, float] = {}
    lexical: dict[int, float] = {}
    for place in places:
        near, matching = _candidates(query, place, count)
        dense |= near
        lexical |= matching
    if query.vectors is None or query.words is None:
        fused = dense | lexical
    else:
        fused = fuse(dense, lexical, texts=sum(len(place.indexes.lexical) for place in places))
    order = sorted(sorted(fused), key=fused.__getitem__, reverse=True)  # equal ones stay in order of id
    return ((each, Scores(dense.get(each), lexical.get(each), fused[each])) for each in order)


def _candidates(query: Query, place: Place, count: int) -> tuple[dict[int, float], dict[int, float]]:
    """Ask both indexes, then each for the scores of what only the other one found.

    Without the second step a chunk just below the cut of one index would count as fitting not at all. An
    index that has found fewer than it was asked for has cut nothing off.
    """
    vector = query.vector(place.indexes)
    near = _near(vector, place.indexes, count, place.allowed)
    matching = _matching(query.words, place.indexes, count, place.allowed)
    only_near, only_matching = near.keys() - matching.keys(), matching.keys() - near.keys()
    if len(near) == count:
        near |= _near(vector, place.indexes, count, _ids(only_matching))
    if len(matching) == count:
        matching |= _matching(query.words, place.indexes, count, _ids(only_near))
    return near, matching


def _near(
    vector: Vector | None, indexes: CollectionIndexes, count: int, allowed: Ids | None
) -> dict[int, float]:
    if vector is None or (allowed is not None and not len(allowed)):
        return {}
    scores, ids = indexes.vectors.search(vector, count, allowed=allowed)
    found: dict[int, float] = dict(zip(ids[0].tolist(), scores[0].tolist(), strict=True))
    found.pop(-1, None)  # there are fewer than `count`
    return found


def _matching(
    words: str | None, indexes: CollectionIndexes, count: int, allowed: Ids | None
) -> dict[int, float]:
    if words is None or (allowed is not None and not len(allowed)):
        return {}
    return dict(indexes.lexical.search(words, count, allowed=allowed))


def _ids(ids: Iterable[int]) -> Ids:
    return np.array(sorted(ids), dtype=np.int64)
