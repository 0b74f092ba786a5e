"""What was freed goes back to the system."""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from corpus.memory import give_back_memory


def resident_mb() -> float:
    """Return this process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / (1 << 20)


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim") or not Path("/proc/self/statm").exists(),
    reason="the C library is not glibc",
)
def test_freed_memory_goes_back_to_the_system() -> None:
    """Also what lies below memory that is still used; that alone keeps glibc from giving it back."""
    blocks = [np.ones(8_000) for _ in range(2_000)]  # each too small for a mapping of its own
    last = blocks[-1]
    del blocks
    before = resident_mb()
    give_back_memory()
    assert before - resident_mb() > 80
    assert last.sum() == 8_000
