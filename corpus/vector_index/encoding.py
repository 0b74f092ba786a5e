"""The form of a stored vector: float16, in the database little-endian, two bytes a number."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from corpus.errors import IndexDamaged

_STORED = np.dtype("<f2")
_SIGN_EXPONENT_FRACTION = np.uint32(0x8FFFE000).astype(np.int32)  # of a widened half


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


def widen(halves: NDArray[np.float16]) -> NDArray[np.float32]:
    """Return finite numbers in single precision, exactly; several times as fast as `astype`.

    A half's exponent and fraction, moved to where a single has them, are its value over 2**112, which is
    the difference of the two formats' biases. Widening the bits as a signed integer brings the sign along.
    """
    bits = halves.view(np.int16).astype(np.int32)
    bits <<= 13
    bits &= _SIGN_EXPONENT_FRACTION
    values: NDArray[np.float32] = bits.view(np.float32)
    values *= np.float32(2.0**112)
    return values
