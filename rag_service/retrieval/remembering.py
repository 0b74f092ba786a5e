"""An embedder that remembers: conversations, retries and paging ask again, answers cite what was scored."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from corpus.embedding import Embedder

Vectors = NDArray[np.float32]
CAPACITY = 8192  # vectors; 12 MB at 384 dimensions


class RememberingEmbedder:
    """Embeds through another embedder, which it asks only for texts that it does not remember.

    The least recently used vectors are forgotten first. Several threads may call it.
    """

    def __init__(self, embedder: Embedder, capacity: int = CAPACITY) -> None:
        self._embedder = embedder
        self._capacity = capacity
        self._vectors: OrderedDict[tuple[str, str], Vectors] = OrderedDict()
        self._lock = Lock()
        self.id = embedder.id
        self.name = embedder.name
        self.dimension = embedder.dimension
        self.max_tokens = embedder.max_tokens

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a query, shape (len(texts), dimension)."""
        return self._embed("query", texts, self._embedder.embed_queries)

    def embed_passages(self, texts: Sequence[str]) -> Vectors:
        """Return one unit vector a passage, shape (len(texts), dimension), in the given order."""
        return self._embed("passage", texts, self._embedder.embed_passages)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the characters of each word piece, as the embedder does."""
        return self._embedder.token_spans(text)

    def _embed(self, kind: str, texts: Sequence[str], embed: Callable[[Sequence[str]], Vectors]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        known = self._recall([(kind, text) for text in texts])
        missing = list(dict.fromkeys(text for text in texts if (kind, text) not in known))
        if missing:
            # Outside the lock: two threads may embed the same text, but none waits for another's.
            known |= {(kind, text): row for text, row in zip(missing, embed(missing), strict=True)}
            self._keep(known)
        return np.array([known[kind, text] for text in texts])  # `np.stack` takes longer for one

    def _recall(self, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Vectors]:
        with self._lock:
            known = {key: self._vectors[key] for key in keys if key in self._vectors}
            for key in known:
                self._vectors.move_to_end(key)
        return known

    def _keep(self, vectors: dict[tuple[str, str], Vectors]) -> None:
        with self._lock:
            self._vectors.update(vectors)
            while len(self._vectors) > self._capacity:
                self._vectors.popitem(last=False)
