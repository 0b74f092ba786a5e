"""Approximate search for many vectors: inverted lists of short codes, and exact scores for what they find.

The vectors are sorted into the cells of a coarse quantiser and kept there as products of small codebooks,
four bits for two dimensions (Jégou et al. 2011, "Product quantization for nearest neighbor search"), in
the order in which one instruction looks up 32 of them (André et al. 2017, "Accelerated nearest neighbor
search with Quick ADC"). A search reads the cells nearest to the query, takes more than it was asked for,
and ranks these by their exact float16 vectors, which stay memory-mapped. How many cells are read is
measured when the lists are built.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from corpus.vector_index.encoding import widen

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]

TARGET_RECALL = 0.98  # at 10, against exact search; leaves room below for queries unlike the measured ones
_SAMPLE_A_CELL = 64  # vectors that k-means sees for each cell
_FEWEST_A_CELL = 32
_ITERATIONS = 10
_CODE_BITS = 4
_ROWS_AT_ONCE = 8192
_ROWS_IN_CACHE = 256  # so many in float32 stay in a core's cache
_MADE_UP = 300  # queries of each kind
_MEASURED_DEPTH = 10
_STEPS = 20  # cells are counted to one part in so many
_ASKED_FOR_MORE = 4  # times what is wanted, and so many more: the codes are coarse
_ASKED_AT_LEAST = 100
_NEAR = 0.7  # cosine of a made-up query to its vector; questions lie about there to their passages
_SCAN_UP_TO = 20_000  # so many vectors are scored exactly one by one; about 8 ms
_LEAST = 1e-12  # a vector of zeros must not be divided by zero
_SEED = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """What reading `probes` cells of the lists finds: the share of the 10 exact best."""

    probes: int
    recall: float


class InvertedLists:
    """Vectors searched approximately; positions are those of the rows it was built from."""

    def __init__(self, index: Any, exact: NDArray[np.float16], probes: int) -> None:  # noqa: ANN401 - FAISS has no types
        self._index = index
        self._exact = np.asarray(exact)  # the same memory; a memmap's own indexing is slower
        self._probes = probes

    def search(self, queries: Vectors, k: int, chosen: NDArray[np.bool_]) -> tuple[Vectors, Ids]:
        """Return scores and positions of the k best among the chosen, shape (len(queries), k).

        The fewer are chosen, the more cells are read; few enough are scored one by one. So a filter
        loses nothing, however rare what it keeps is.

        Args:
            queries: shape (n, dimension).
            k: at most as many as are chosen.
            chosen: which positions count.
        """
        if np.count_nonzero(chosen) <= _SCAN_UP_TO:
            return self.scan(queries, k, chosen)
        scores, found = self.look_up(queries, k, chosen)
        # The cells near some query may hold too little of what is chosen.
        return self.scan(queries, k, chosen) if (found[:, -1] < 0).any() else (scores, found)

    def look_up(self, queries: Vectors, k: int, chosen: NDArray[np.bool_]) -> tuple[Vectors, Ids]:
        """Search the cells nearest to each query; position -1 and score -inf where they hold less than k."""
        count = int(np.count_nonzero(chosen))
        probes = min(self._index.nlist, -(-self._probes * len(chosen) // count))
        selector = faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
        _, found = self._index.search(queries, min(count, _asked(k)), params=parameters)
        scores = np.empty(found.shape, dtype=np.float32)
        for query, near, row in zip(queries, found, scores, strict=True):
            row[:] = self.vectors(np.maximum(near, 0)) @ query
        scores[found < 0] = -np.inf
        return _first(scores, found, k)

    def scan(self, queries: Vectors, k: int, chosen: NDArray[np.bool_]) -> tuple[Vectors, Ids]:
        """Score all chosen positions exactly, a block at a time."""
        positions = np.flatnonzero(chosen)
        scores, found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for block in _blocks(positions, _ROWS_AT_ONCE):
            scores = np.concatenate([scores, self.scores(queries, block)], axis=1)
            found = np.concatenate([found, np.broadcast_to(block, (len(queries), len(block)))], axis=1)
            scores, found = _first(scores, found, k)
        return scores, found

    def scores(self, queries: Vectors, positions: Ids) -> Vectors:
        """Return the scores of some positions, shape (len(queries), len(positions))."""
        parts = [queries @ self.vectors(rows).T for rows in _blocks(positions, _ROWS_IN_CACHE)]
        return np.concatenate([np.empty((len(queries), 0), np.float32), *parts], axis=1)

    def vectors(self, positions: Ids) -> Vectors:
        """Return the vectors at some positions, shape (len(positions), dimension)."""
        return widen(np.take(self._exact, positions, axis=0))


def build_lists(vectors: NDArray[np.float16]) -> Any:  # noqa: ANN401 - FAISS has no types
    """Return a trained and filled FAISS index over the rows of `vectors`, shape (n, dimension).

    The number of cells is twice the square root of n. Rows are read in blocks and may be memory-mapped.
    """
    count, dimension = vectors.shape
    cells = max(1, min(round(2 * count**0.5), count // _FEWEST_A_CELL))
    quantiser = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFPQFastScan(
        quantiser, dimension, cells, _codes(dimension), _CODE_BITS, faiss.METRIC_INNER_PRODUCT
    )
    index.by_residual = True
    index.cp.niter, index.cp.seed, index.cp.min_points_per_centroid = _ITERATIONS, _SEED + 1, 1
    index.pq.cp.seed, index.pq.cp.min_points_per_centroid = _SEED + 3, 1
    index.train(_training_rows(vectors, cells))
    for start in range(0, count, _ROWS_AT_ONCE):
        index.add(np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE], dtype=np.float32))
    return index


def _codes(dimension: int) -> int:
    """Return how many codes a vector has: one for two dimensions, which it divides into evenly."""
    return dimension // 2 if dimension % 2 == 0 else dimension


def _training_rows(vectors: NDArray[np.float16], cells: int) -> Vectors:
    """Return a sample to learn cells and codebooks from; few rows are repeated until there are enough."""
    count = len(vectors)
    chosen = np.random.default_rng(_SEED).choice(count, min(count, cells * _SAMPLE_A_CELL), replace=False)
    enough = np.resize(np.sort(chosen), max(len(chosen), 2**_CODE_BITS))
    return np.ascontiguousarray(vectors[enough], dtype=np.float32)


def measure_lists(index: Any, exact: NDArray[np.float16]) -> Measured:  # noqa: ANN401 - FAISS has no types
    """Return the fewest cells that reach `TARGET_RECALL` on made-up queries, and what they reach.

    Each kind of query has to reach it. Found by halving, to one part in `_STEPS`.
    """
    kinds, chosen = _made_up_queries(exact), np.ones(len(exact), dtype=np.bool_)
    depth = min(_MEASURED_DEPTH, len(exact))
    best = [InvertedLists(index, exact, 1).scan(queries, depth, chosen)[1] for queries in kinds]

    def recall(probes: int) -> float:
        lists = InvertedLists(index, exact, probes)
        found = [lists.look_up(queries, depth, chosen)[1] for queries in kinds]
        return min(_share_found(*pair) for pair in zip(best, found, strict=True))

    too_few, enough = 0, index.nlist
    while enough - too_few > 1 + too_few // _STEPS:
        middle = (too_few + enough) // 2
        if recall(middle) >= TARGET_RECALL:
            enough = middle
        else:
            too_few = middle
    return Measured(enough, round(recall(enough), 4))


def _share_found(best: Ids, found: Ids) -> float:
    return sum(len(np.intersect1d(a, b)) for a, b in zip(best, found, strict=True)) / best.size


def _made_up_queries(exact: NDArray[np.float16]) -> tuple[Vectors, Vectors]:
    """Return unit vectors that lie to stored ones as questions do: near, and to the side.

    To the side is where two other vectors differ, as the data itself goes; and, for data that has gaps
    there, anywhere. docs/decisions/0072-inverted-lists.md compares both with real questions.
    """
    random = np.random.default_rng(_SEED + 2)
    near, first, second = (exact[random.choice(len(exact), _MADE_UP)].astype(np.float32) for _ in range(3))
    anywhere = random.normal(size=near.shape).astype(np.float32)
    return _beside(near, first - second), _beside(near, anywhere)


def _beside(near: Vectors, way: Vectors) -> Vectors:
    """Return the unit vectors at a cosine of `_NEAR` to some, in the direction of others."""
    away = _unit(way - np.sum(way * near, axis=1, keepdims=True) * near)
    return _unit(_NEAR * near + (1 - _NEAR**2) ** 0.5 * away)


def _unit(vectors: Vectors) -> Vectors:
    rows: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LEAST)
    return rows


def _asked(k: int) -> int:
    """Return how many the codes are to find, so that the k best are among them."""
    return _ASKED_FOR_MORE * k + _ASKED_AT_LEAST


def _blocks(positions: Ids, size: int) -> Iterator[Ids]:
    return (positions[start : start + size] for start in range(0, len(positions), size))


def _first(scores: Vectors, positions: Ids, k: int) -> tuple[Vectors, Ids]:
    """Return the k best, best first; of equal scores the earlier position."""
    if scores.shape[1] > k:
        # Sorting is slow, so only what reaches the k-th best score is sorted.
        reached = scores >= np.partition(scores, -k, axis=1)[:, -k, None]
        width = max(k, int(reached.sum(axis=1).max()))
        order = np.argsort(~reached, axis=1, kind="stable")[:, :width]
        scores, positions = _taken(scores, positions, order)
    return _taken(scores, positions, np.lexsort((positions, -scores), axis=1)[:, :k])


def _taken(scores: Vectors, positions: Ids, order: Ids) -> tuple[Vectors, Ids]:
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)
