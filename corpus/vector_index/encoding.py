"""The form of a vector in the database: float16, little-endian, two bytes a number."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from corpus.errors import IndexDamaged

_STORED = np.dtype("<f2")


def encode_vector(vector: NDArray[np.float32]) -> bytes:
    """Return a vector's bytes; each number keeps 11 significant bits."""
    return vector.astype(_STORED).tobytes()


def decode_vectors(stored: Sequence[bytes], dimension: int) -> NDArray[np.float32]:
    """Return the vectors, shape (len(stored), dimension).

    Raises:
        IndexDamaged: one of them has another length.
    """
    expected = dimension * _STORED.itemsize
    if any(len(item) != expected for item in stored):
        raise IndexDamaged(
            f"A stored vector has not {dimension} numbers; run `rag check --repair` to make it again."
        )
    numbers = np.frombuffer(b"".join(stored), dtype=_STORED)
    return numbers.astype(np.float32).reshape(len(stored), dimension)
