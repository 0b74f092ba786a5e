"""Search with FAISS, while other threads add and remove.

The index is a tuple of segments. A segment is never changed once it is made: its vectors lie in a
FAISS flat index, and forgetting an id replaces the segment by one that shares the vectors and has
another bitmap of live positions. Writers take turns, build the new tuple aside and put it in place
with one assignment; a search works on the tuple that it found at its beginning. So a search never
waits for a writer and never sees half a change.

The first segment may be a generation's memory-mapped base; where that is large its search is
approximate, see `corpus.vector_index.inverted_lists`. All other segments are searched exactly. New
vectors go into the last segment, which is copied for that (a millisecond or two at `SEGMENT_ROWS`) until
it is full and the next one begins.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from corpus.vector_index.generation_files import Base
from corpus.vector_index.inverted_lists import InvertedLists

SEGMENT_ROWS = 2048
Ids = NDArray[np.int64]
Vectors = NDArray[np.float32]
_NO_IDS = np.empty(0, dtype=np.int64)


class _Rows(Protocol):
    """Vectors by position."""

    def search(self, queries: Vectors, k: int, chosen: NDArray[np.bool_]) -> tuple[Vectors, Ids]:
        """Return scores and positions of the k best among the chosen, of which there are at least k."""

    def scores(self, queries: Vectors, positions: Ids) -> Vectors:
        """Return what `search` gives some positions, shape (len(queries), len(positions))."""

    def vectors(self, positions: Ids) -> Vectors:
        """Return the vectors at some positions, shape (len(positions), dimension)."""


class _FlatRows:
    """Vectors in a FAISS flat index, searched exactly."""

    def __init__(self, index: Any) -> None:  # noqa: ANN401 - FAISS has no types
        self._index = index
        # What was chosen last, and the selector made of it: most searches choose a segment's live positions.
        self._last: tuple[NDArray[np.bool_], Any] | None = None

    def search(self, queries: Vectors, k: int, chosen: NDArray[np.bool_]) -> tuple[Vectors, Ids]:
        """Return scores and positions of the k best among the chosen."""
        found: tuple[Vectors, Ids] = self._index.search(queries, k, params=self._parameters(chosen))
        return found

    def scores(self, queries: Vectors, positions: Ids) -> Vectors:
        """Return the scores of some positions: to the last bit those that FAISS's search finds."""
        scores = np.empty((len(queries), len(positions)), dtype=np.float32)
        wanted = np.empty(scores.shape, dtype=np.int64)
        wanted[:] = positions
        if scores.size:  # FAISS refuses to compute nothing
            asked, places, given = map(faiss.swig_ptr, (queries, wanted, scores))
            self._index.compute_distance_subset(len(queries), asked, len(positions), given, places)
        return scores

    def _parameters(self, chosen: NDArray[np.bool_]) -> Any:  # noqa: ANN401 - FAISS has no types
        """Return the parameters of a search among the chosen; no one changes `chosen` afterwards.

        Also when all positions are chosen: with a selector FAISS scans in this thread. Without one it
        wakes a thread a core for a single query, which costs more than it saves.
        """
        last = self._last
        if last is None or last[0] is not chosen:
            selector = faiss.IDSelectorBitmap(np.packbits(chosen, bitorder="little"))
            last = self._last = (chosen, faiss.SearchParameters(sel=selector))
        return last[1]

    def vectors(self, positions: Ids) -> Vectors:
        """Return the vectors at some positions."""
        rows: Vectors = self._index.reconstruct_batch(positions)
        return rows


@dataclass(frozen=True, slots=True)
class _Segment:
    """Vectors by position; position i has `ids[i]` (ascending) and counts if `live[i]`."""

    rows: _Rows
    ids: Ids
    live: NDArray[np.bool_]

    def positions(self, wanted: Ids) -> Ids:
        """Return where the ids of `wanted` (ascending) are that this segment has, dead or alive."""
        if len(self.ids) == 0:
            return _NO_IDS
        first, last = np.searchsorted(wanted, [self.ids[0], self.ids[-1] + 1])
        near = wanted[first:last]
        found: Ids = np.searchsorted(self.ids, near)
        hits: Ids = found[self.ids[found] == near]
        return hits

    def without(self, gone: Ids) -> "_Segment":
        """Return this segment with some ids (ascending) dead."""
        positions = self.positions(gone)
        if not self.live[positions].any():
            return self
        live = self.live.copy()
        live[positions] = False
        return replace(self, live=live)

    def search(self, queries: Vectors, k: int, allowed: Ids | None) -> tuple[Vectors, Ids]:
        """Return scores and ids of the best, shape (len(queries), at most k)."""
        chosen = self.live
        if allowed is not None:
            positions = self.positions(allowed)
            positions = positions[chosen[positions]]
            if len(positions) <= k:  # all of them, in any order
                ids = np.broadcast_to(self.ids[positions], (len(queries), len(positions)))
                return self.rows.scores(queries, positions), ids
            chosen = np.zeros_like(chosen)
            chosen[positions] = True
        depth = min(k, int(np.count_nonzero(chosen)))
        if depth == 0:
            return np.empty((len(queries), 0), dtype=np.float32), np.empty((len(queries), 0), dtype=np.int64)
        scores, positions = self.rows.search(queries, depth, chosen)
        return scores, np.where(positions < 0, -1, self.ids[positions])  # -1: the query has NaN

    def scores(self, query: NDArray[np.float32], wanted: Ids) -> dict[int, float]:
        """Return the scores of those of `wanted` that count; each step costs some microseconds."""
        positions = np.minimum(np.searchsorted(self.ids, wanted), len(self.ids) - 1)
        positions = positions[(self.ids[positions] == wanted) & self.live[positions]]
        scores = self.rows.scores(query[None], positions)[0]
        return dict(zip(self.ids[positions].tolist(), scores.tolist(), strict=True))

    def live_rows(self) -> tuple[Ids, Vectors]:
        """Return the ids and vectors that count."""
        positions = np.flatnonzero(self.live)
        return self.ids[positions], self.rows.vectors(positions)

    def is_worth_merging(self) -> bool:
        """Whether few rows count, or fewer than half: then copying them is cheap or saves memory."""
        rows = int(np.count_nonzero(self.live))
        return rows < max(SEGMENT_ROWS, len(self.live) // 2)


class FaissVectorIndex:
    """A `VectorIndex` in this process: an immutable base, a tail in memory, and what is gone of both."""

    def __init__(self, dimension: int, base: Base | None = None) -> None:
        self.dimension = dimension
        self._writing = threading.Lock()
        self._base_segments = 0 if base is None else 1
        self._segments: tuple[_Segment, ...] = () if base is None else (_segment_of(base, dimension),)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Put vectors, shape (len(ids), dimension), under ids; of an id given twice the last counts.

        Raises:
            ValueError: the shapes do not fit.
        """
        if vectors.shape != (len(ids), self.dimension):
            raise ValueError(f"{len(ids)} ids of dimension {self.dimension} got vectors {vectors.shape}")
        if len(ids) == 0:
            return
        new_ids, from_end = np.unique(ids[::-1], return_index=True)
        new_vectors = vectors[::-1][from_end]
        with self._writing:
            base, tail = self._without(new_ids)
            full = [segment for segment in tail if not segment.is_worth_merging()]
            merged = [segment.live_rows() for segment in tail if segment.is_worth_merging()]
            self._segments = (*base, *full, _segment_from([*merged, (new_ids, new_vectors)]))

    def remove(self, ids: Ids) -> None:
        """Forget ids; unknown ones are ignored."""
        with self._writing:
            base, tail = self._without(np.unique(ids))
            self._segments = (*base, *tail)

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None = None) -> tuple[Vectors, Ids]:
        """Return the k best of each query: scores and ids, both of shape (len(queries), k).

        See `VectorIndex.search`.

        Raises:
            ValueError: the queries have another dimension.
        """
        if queries.shape != (len(queries), self.dimension):
            raise ValueError(f"queries have shape {queries.shape}, the index has dimension {self.dimension}")
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        wanted = None if allowed is None else _ascending(allowed)
        found = [segment.search(asked, k, wanted) for segment in self._segments]
        return _best(found, len(asked), k)

    def scores(self, query: NDArray[np.float32], ids: Ids) -> dict[int, float]:
        """Return what `search` gives those of the ids that are here.

        Raises:
            ValueError: the query has another shape than (dimension,).
        """
        if query.shape != (self.dimension,):
            raise ValueError(f"the query has shape {query.shape}, the index has dimension {self.dimension}")
        found: dict[int, float] = {}
        query = np.ascontiguousarray(query, dtype=np.float32)
        for segment in self._segments:
            if len(segment.ids):
                found |= segment.scores(query, ids)
        return found

    def ids(self) -> Ids:
        """Return the ids, in ascending order."""
        return np.sort(np.concatenate([_NO_IDS, *(segment.ids[segment.live] for segment in self._segments)]))

    def __len__(self) -> int:
        return sum(int(np.count_nonzero(segment.live)) for segment in self._segments)

    def _without(self, gone: Ids) -> tuple[list[_Segment], list[_Segment]]:
        """Return base and tail without some ids (ascending); segments of the tail that are empty go."""
        segments = [segment.without(gone) for segment in self._segments]
        base, tail = segments[: self._base_segments], segments[self._base_segments :]
        return base, [segment for segment in tail if segment.live.any()]


def _ascending(ids: Ids) -> Ids:
    """Return ids in ascending order, each once; sorting is slow, and most come sorted."""
    return ids if (ids[1:] > ids[:-1]).all() else np.unique(ids)


def _segment_of(base: Base, dimension: int) -> _Segment:
    if base.manifest.dimension != dimension:
        raise ValueError(f"the base has dimension {base.manifest.dimension}, not {dimension}")
    rows: _Rows = _FlatRows(base.index)
    if base.exact is not None and base.manifest.measured is not None:
        rows = InvertedLists(base.index, base.exact, base.manifest.measured.probes)
    return _Segment(rows, base.ids, np.ones(len(base.ids), dtype=np.bool_))


def _segment_from(parts: Sequence[tuple[Ids, Vectors]]) -> _Segment:
    ids = np.concatenate([part[0] for part in parts])
    vectors = np.concatenate([part[1] for part in parts])
    order = np.argsort(ids)
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(np.ascontiguousarray(vectors[order], dtype=np.float32))
    return _Segment(_FlatRows(index), ids[order].astype(np.int64), np.ones(len(ids), dtype=np.bool_))


def _best(found: Sequence[tuple[Vectors, Ids]], queries: int, k: int) -> tuple[Vectors, Ids]:
    """Merge what the segments found; the last part fills up to k."""
    nothing = (np.full((queries, k), -np.inf, dtype=np.float32), np.full((queries, k), -1, dtype=np.int64))
    parts = [*found, nothing]
    scores = np.concatenate([part[0] for part in parts], axis=1)
    ids = np.concatenate([part[1] for part in parts], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    rows = np.arange(queries)[:, None]  # `take_along_axis` would make them anew for each
    return scores[rows, order], ids[rows, order]
