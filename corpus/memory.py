"""What a process holds of the system's memory."""

import ctypes
from contextlib import suppress


def give_back_memory() -> None:
    """Return what was freed to the system, where the C library is glibc.

    What is made and dropped between what stays, as a batch's activations or a weight on its way into eight
    bits, leaves holes in glibc's heap, which grows to twice what is in use and more. Costs some 30 ms, the
    page faults of what comes next included.
    """
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)
