"""Remembers the vectors of the last queries: conversations, retries and paging ask again."""

from collections import OrderedDict
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from corpus.embedding import Embedder

CAPACITY = 1024  # vectors; 1.5 MB at 384 dimensions


class QueryCache:
    """Embeds queries, the least recently used forgotten first; several threads may call it."""

    def __init__(self, embedder: Embedder, capacity: int = CAPACITY) -> None:
        self._embedder = embedder
        self._capacity = capacity
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def embed(self, query: str) -> NDArray[np.float32]:
        """Return the query's unit vector, shape (1, dimension)."""
        with self._lock:
            known = self._vectors.get(query)
            if known is not None:
                self._vectors.move_to_end(query)
                return known
        # Outside the lock: two threads may embed the same query, but none waits for another's.
        vector = self._embedder.embed_queries([query])
        with self._lock:
            self._vectors[query] = vector
            while len(self._vectors) > self._capacity:
                self._vectors.popitem(last=False)
        return vector
