"""Vector indexes: which chunks are nearest to a query.

`VectorIndex` is the seam; `corpus.vector_index.faiss_index` is the embedded implementation and
`corpus.vector_index.generation_files` the form in which its base is published.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class VectorIndex(Protocol):
    """Vectors under stable ids, searched by inner product; all methods may be called from any thread.

    Vectors have unit length, so that the inner product is the cosine.
    """

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Put vectors, shape (len(ids), dimension), under ids; an id that is there is replaced."""

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Forget ids; unknown ones are ignored."""

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        *,
        allowed: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return the k best of each query: scores and ids, both of shape (len(queries), k).

        Best first; of equal scores the smaller id first. Where fewer than k are found, the rest has
        score -inf and id -1. With `allowed`, only these ids count, at any selectivity.
        """

    def scores(self, query: NDArray[np.float32], ids: NDArray[np.int64]) -> dict[int, float]:
        """Return what `search` gives those of the ids that are here; the query has shape (dimension,)."""

    def ids(self) -> NDArray[np.int64]:
        """Return the ids, in ascending order."""

    def __len__(self) -> int: ...
