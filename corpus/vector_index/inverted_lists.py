"""Approximate search for many vectors: inverted lists of bytes, and exact scores for what they find.

The vectors are sorted into the cells of a coarse quantiser (Jégou et al. 2011, "Product quantization for
nearest neighbor search", section IV) and kept there as one byte a dimension. A search reads the cells
nearest to the query, takes more than it was asked for, and ranks these by their exact float16 vectors,
which stay memory-mapped. How many cells are read is measured when the lists are built.
"""

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]

TARGET_RECALL = 0.98  # at 10, against exact search; leaves room below for queries unlike the measured ones
_SAMPLE_A_CELL = 32  # vectors that k-means sees for each cell; FAISS asks for 39 and warns, 32 were as good
_ITERATIONS = 8
_ROWS_AT_ONCE = 8192
_HELD_BACK = 200
_MEASURED_DEPTH = 10
_ASKED_FOR_MORE = 2  # times what is wanted: rounding to bytes swaps neighbours, seldom more
_NEAR = 0.7  # cosine of a made-up query to its vector; questions lie about there to their passages
_SCAN_UP_TO = 20_000  # so many vectors are scored exactly one by one; about 10 ms
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
        self._exact = exact
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
        _, found = self._index.search(queries, min(count, _ASKED_FOR_MORE * k), params=parameters)
        rows = self._exact[np.maximum(found, 0)].astype(np.float32)
        scores = np.einsum("qd,qrd->qr", queries, rows)
        scores[found < 0] = -np.inf
        return _first(scores, found, k)

    def scan(self, queries: Vectors, k: int, chosen: NDArray[np.bool_]) -> tuple[Vectors, Ids]:
        """Score all chosen positions exactly, a block at a time."""
        positions = np.flatnonzero(chosen)
        scores, found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for start in range(0, len(positions), _ROWS_AT_ONCE):
            block = positions[start : start + _ROWS_AT_ONCE]
            near = queries @ self.vectors(block).T
            scores = np.concatenate([scores, near], axis=1)
            found = np.concatenate([found, np.broadcast_to(block, near.shape)], axis=1)
            scores, found = _first(scores, found, k)
        return scores, found

    def vectors(self, positions: Ids) -> Vectors:
        """Return the vectors at some positions, shape (len(positions), dimension)."""
        rows: Vectors = self._exact[positions].astype(np.float32)
        return rows


def build_lists(vectors: NDArray[np.float16]) -> Any:  # noqa: ANN401 - FAISS has no types
    """Return a trained and filled FAISS index over the rows of `vectors`, shape (n, dimension).

    The number of cells is twice the square root of n. Rows are read in blocks and may be memory-mapped.
    """
    count, dimension = vectors.shape
    cells = max(1, min(round(2 * count**0.5), count // _SAMPLE_A_CELL))
    chosen = np.random.default_rng(_SEED).choice(count, min(count, cells * _SAMPLE_A_CELL), replace=False)
    kind = faiss.ScalarQuantizer.QT_8bit
    metric = faiss.METRIC_INNER_PRODUCT
    quantiser = faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFScalarQuantizer(quantiser, dimension, cells, kind, metric, True)  # noqa: FBT003 - by_residual
    index.cp.niter, index.cp.seed, index.cp.min_points_per_centroid = _ITERATIONS, _SEED + 1, 1
    index.train(np.ascontiguousarray(vectors[np.sort(chosen)], dtype=np.float32))
    for start in range(0, count, _ROWS_AT_ONCE):
        index.add(np.ascontiguousarray(vectors[start : start + _ROWS_AT_ONCE], dtype=np.float32))
    return index


def measure_lists(index: Any, exact: NDArray[np.float16]) -> Measured:  # noqa: ANN401 - FAISS has no types
    """Return the fewest cells that reach `TARGET_RECALL` on queries held back, and what they reach.

    Half of the queries are stored vectors, half lie as far from one as questions lie from passages.
    """
    queries, chosen = _held_back(exact), np.ones(len(exact), dtype=np.bool_)
    depth = min(_MEASURED_DEPTH, len(exact))
    _, best = InvertedLists(index, exact, 1).scan(queries, depth, chosen)
    probes = 1
    while True:
        _, found = InvertedLists(index, exact, probes).look_up(queries, depth, chosen)
        hits = [len(np.intersect1d(a, b)) for a, b in zip(best, found, strict=True)]
        recall = float(np.mean(hits)) / depth
        if recall >= TARGET_RECALL or probes >= index.nlist:
            return Measured(probes, round(recall, 4))
        probes = min(2 * probes, index.nlist)


def _held_back(exact: NDArray[np.float16]) -> Vectors:
    random = np.random.default_rng(_SEED + 2)
    rows = exact[np.sort(random.choice(len(exact), min(len(exact), _HELD_BACK), replace=False))]
    queries: Vectors = rows.astype(np.float32)
    noise = random.normal(size=queries.shape).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    queries[::2] = (_NEAR * queries + (1 - _NEAR**2) ** 0.5 * noise)[::2]
    unit: Vectors = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    return unit


def _first(scores: Vectors, positions: Ids, k: int) -> tuple[Vectors, Ids]:
    """Return the k best, best first; of equal scores the earlier position."""
    order = np.lexsort((positions, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(positions, order, axis=1)
