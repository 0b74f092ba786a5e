"""Folders for half-done work, which a later run removes if their process was killed."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK = "in-use"
_STALE_AFTER_S = 3600.0


@contextmanager
def scratch_folder(parent: Path, *, prefix: str) -> Iterator[Path]:
    """Make a folder in `parent` for the block, after removing those of this prefix that dead processes left.

    A living process holds a lock in its folder, which ends with it, however it ends.
    """
    _sweep(parent, prefix)
    with tempfile.TemporaryDirectory(dir=parent, prefix=prefix) as name:
        folder = Path(name)
        lock = _hold(folder)
        try:
            yield folder
        finally:
            os.close(lock)


def _hold(folder: Path) -> int:
    """Lock a folder as in use; the lock's file has its name only when it is locked. Return its descriptor."""
    unlocked = folder / f"{_LOCK}-soon"
    descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT)
    with suppress(OSError):  # a file system without locks: then the folder's age must do
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unlocked.rename(folder / _LOCK)
    return descriptor


def _sweep(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # another sweep was faster, or it is somebody else's
            if folder.is_dir() and not folder.is_symlink() and _is_left(folder):
                shutil.rmtree(folder)


def _is_left(folder: Path) -> bool:
    """Tell whether a folder's process is dead: nobody holds its lock, or nothing happens where there is none.

    Without one it is of an earlier version, or is just being made.
    """
    try:
        descriptor = os.open(folder / _LOCK, os.O_RDWR)
    except FileNotFoundError:
        newest = max(entry.stat().st_mtime for entry in (folder, *folder.rglob("*")))
        return newest < time.time() - _STALE_AFTER_S
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
