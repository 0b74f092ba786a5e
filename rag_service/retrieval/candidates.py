"""Candidates: what the indexes of one or several collections offer for a query, with both scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from corpus.follower import CollectionIndexes
from rag_service.retrieval.fusion import fuse
from rag_service.retrieval.passages import Scores

Ids = NDArray[np.int64]
Vector = NDArray[np.float32]
_ROUNDING = 1e-5  # BM25 may add up in another order when it is asked again


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


@dataclass(slots=True)
class _Unasked:
    """Chunks of one place that only the vectors found, and the most that BM25 can give them."""

    indexes: CollectionIndexes
    ids: set[int]
    at_most: float  # the least of those that it found: these are its best


def rank_candidates(
    query: Query, places: Sequence[Place], count: int, *, first: int
) -> Iterator[tuple[int, Scores]]:
    """Yield at least the `count` best chunks of each index, best first; ties go by chunk id.

    About what only the vectors found BM25 is asked in two steps: before this returns, where it can bring a
    chunk among the `first`, and where it can not once these are gone through.

    One embedder makes cosines comparable from collection to collection; those of several embedders, and
    BM25 scores, are taken as if they were.
    """
    found = _Found(query)
    for place in places:
        found.add(place, count)
    if query.vectors is None or query.words is None:
        only = found.dense | found.lexical
        return found.scored(_best_first(only), only)
    return _head_and_rest(found, sum(len(place.indexes.lexical) for place in places), first)


def _head_and_rest(found: "_Found", texts: int, first: int) -> Iterator[tuple[int, Scores]]:
    """Return the ranking in two parts: no chunk of the second can stand before one of the first.

    With the most that BM25 can give to those that it was not asked about, whatever stands below the
    `first` of the others stays below them.
    """
    unasked = found.at_most()
    hoped = fuse(found.dense, found.lexical | unasked, texts=texts)
    order = _best_first(hoped)
    last = next(islice((at for at, each in enumerate(order) if each not in unasked), first - 1, None), None)
    head = order if last is None else order[: last + 1]
    near = [each for each in head if each in unasked]
    if near:
        found.ask(near)
        fused = fuse(found.dense, found.lexical, texts=texts)
        head = _best_first({each: fused[each] for each in head})
        head = head if last is None else head[: head.index(order[last]) + 1]
        return chain(found.scored(head, fused), _rest(found, texts, head))
    return chain(found.scored(head, hoped), _rest(found, texts, head))


def _rest(found: "_Found", texts: int, head: Sequence[int]) -> Iterator[tuple[int, Scores]]:
    """Ask BM25 about all others, once the first is wanted."""
    found.ask(found.at_most())
    fused = fuse(found.dense, found.lexical, texts=texts)
    done = frozenset(head)
    yield from found.scored([each for each in _best_first(fused) if each not in done], fused)


def _best_first(ranks: Mapping[int, float]) -> list[int]:
    return sorted(sorted(ranks), key=ranks.__getitem__, reverse=True)  # equal ones stay in order of id


class _Found:
    """What the indexes offer for a query. BM25 was not asked about all that only the vectors found.

    Without asking, a chunk just below the cut of one index would count as fitting not at all. An index that
    has found fewer than it was asked for has cut nothing off.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._unasked: list[_Unasked] = []
        self.dense: dict[int, float] = {}
        self.lexical: dict[int, float] = {}

    def add(self, place: Place, count: int) -> None:
        """Ask both indexes, then the vectors about what only BM25 found."""
        vector, words = self._query.vector(place.indexes), self._query.words
        near = _near(vector, place.indexes, count, place.allowed)
        matching = _matching(words, place.indexes, count, place.allowed)
        only_near, only_matching = near.keys() - matching.keys(), matching.keys() - near.keys()
        if vector is not None and only_matching and len(near) == count:
            near |= place.indexes.vectors.scores(vector[0], _ids(only_matching))
        if len(matching) == count:
            at_most = min(matching.values()) * (1 + _ROUNDING)
            self._unasked.append(_Unasked(place.indexes, only_near, at_most))
        self.dense |= near
        self.lexical |= matching

    def at_most(self) -> dict[int, float]:
        """Return the chunks that BM25 was not asked about, with the most that it can give them."""
        return {each: some.at_most for some in self._unasked for each in some.ids}

    def ask(self, ids: Iterable[int]) -> None:
        """Ask BM25 about some of them."""
        for some in self._unasked:
            wanted = some.ids.intersection(ids)
            self.lexical |= _matching(self._query.words, some.indexes, len(wanted), _ids(wanted))
            some.ids -= wanted

    def scored(self, ids: Iterable[int], ranks: Mapping[int, float]) -> Iterator[tuple[int, Scores]]:
        """Yield chunks with all their scores; few of them are looked at, so not before."""
        return ((each, Scores(self.dense.get(each), self.lexical.get(each), ranks[each])) for each in ids)


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
