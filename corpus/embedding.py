"""The embedder: texts to unit vectors."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns queries and passages into unit vectors of one space.

    `id` names the exact weights (``all-MiniLM-L6-v2@53aa51172d14``): vectors of two ids are never
    compared. `max_tokens` counts word pieces, special tokens included; longer texts would be cut.
    """

    @property
    def id(self) -> str:
        """Name and the first 12 hex digits of the weights' sha256."""

    @property
    def name(self) -> str:
        """Short name, as in ``GET /v1/models``."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Longest input in word pieces, special tokens included."""

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a query, shape (len(texts), dimension)."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a passage, shape (len(texts), dimension), in the given order."""

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the characters (start, end) of each word piece of the whole text, none cut off."""
