"""Stand-ins for the two slow parts, the embedder and the chat model; everything else is real in tests."""

import re
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+|[^\w\s]")


class FakeEmbedder:
    """Embeds a text as the normalised sum of one fixed random vector a word.

    Texts that share words are near each other, so that retrieval means something in tests.
    """

    def __init__(self, dimension: int = 32, name: str = "fake", max_tokens: int = 64) -> None:
        self.name = name
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.id = f"{name}@{dimension:012d}"
        self.embedded_passages = 0

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed like passages."""
        return np.stack([self._embed(text) for text in texts]) if texts else self._nothing()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed, and count how many."""
        self.embedded_passages += len(texts)
        return np.stack([self._embed(text) for text in texts]) if texts else self._nothing()

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return one token a word or punctuation mark."""
        return [match.span() for match in _WORD.finditer(text)]

    def _embed(self, text: str) -> NDArray[np.float32]:
        total = np.full(self.dimension, 1e-6, dtype=np.float32)
        for word in _WORD.findall(text.lower()):
            seed = int.from_bytes(blake2b(f"{self.name}:{word}".encode(), digest_size=8).digest())
            total += np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)
        unit: NDArray[np.float32] = total / np.linalg.norm(total)
        return unit

    def _nothing(self) -> NDArray[np.float32]:
        return np.empty((0, self.dimension), dtype=np.float32)
