"""The uploaded bytes, each kept once under the SHA-256 of its content.

A file appears under its final name only when all of its bytes are on the disk, so a reader never
sees a part of one. On PostgreSQL deployments the folder is a volume that all machines share.
"""

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import DamagedDocument

_HASH = re.compile("[0-9a-f]{64}")
_INCOMING = "incoming"
_STALE_AFTER_S = 3600.0
_PART_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredOriginal:
    """What `Originals.store` kept; `size` in bytes."""

    sha256: str
    size: int


class Originals:
    """A folder of files, ``ab/abcdef…``, named by the SHA-256 of their bytes in hexadecimal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def store(self, data: bytes | Iterable[bytes]) -> StoredOriginal:
        """Keep the bytes; when this returns they survive a crash, and whatever was kept as them is they.

        Streams: memory does not grow with the size. An exception from `data` leaves no trace.
        """
        if isinstance(data, bytes):
            known = StoredOriginal(hashlib.sha256(data).hexdigest(), len(data))
            if _holds(self.path(known.sha256), data):
                return known  # without a wait for the disk
        incoming = self.folder / _INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=incoming)
        temporary = Path(name)
        try:
            stored = _write(descriptor, [data] if isinstance(data, bytes) else data)
            self._publish(temporary, stored)
        finally:
            temporary.unlink(missing_ok=True)
        return stored

    def path(self, sha256: str) -> Path:
        """Return where the bytes of this hash are, or would be."""
        return self.folder / sha256[:2] / sha256

    def exists(self, sha256: str) -> bool:
        """Tell whether the bytes of this hash are here."""
        return self.path(sha256).is_file()

    def read(self, sha256: str) -> bytes:
        """Return the bytes of this hash.

        Raises:
            FileNotFoundError: they are not here.
            DamagedDocument: what is here are others.
        """
        data = self.path(sha256).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            raise DamagedDocument(
                "Its bytes have changed on the disk since they were uploaded; upload it again to mend them."
            )
        return data

    def delete(self, sha256: str) -> None:
        """Remove the bytes of this hash, if they are here.

        An upload may bring the same bytes at this moment: see `indexer.deletion.drop_originals`.
        """
        self.path(sha256).unlink(missing_ok=True)

    def hashes(self) -> Iterator[str]:
        """Yield the hash of everything that is kept."""
        for folder in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            # A network file system has files of its own beside them (`.nfs…`).
            yield from sorted(entry.name for entry in folder.iterdir() if _HASH.fullmatch(entry.name))

    def sweep(self, *, stale_after_s: float = _STALE_AFTER_S) -> int:
        """Remove what crashed uploads left behind; return how many files that were.

        Other processes may be writing: only files that got no byte for `stale_after_s` go.
        """
        horizon = time.time() - stale_after_s
        removed = 0
        for entry in (self.folder / _INCOMING).glob("*"):
            try:
                if entry.stat().st_mtime <= horizon:
                    entry.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # its writer, or another sweep, was faster
        return removed

    def _publish(self, temporary: Path, stored: StoredOriginal) -> None:
        """Put a file that is on the disk in the place of what is there, which a disk may have damaged."""
        final = self.path(stored.sha256)
        folder_is_new = not final.parent.exists()
        final.parent.mkdir(exist_ok=True)
        temporary.replace(final)
        _sync_folder(final.parent)
        if folder_is_new:
            _sync_folder(self.folder)


def _holds(path: Path, data: bytes) -> bool:
    """Tell whether a file can be read and has exactly these bytes."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != len(data):
                return False
            parts = range(0, len(data), _PART_BYTES)
            return all(file.read(_PART_BYTES) == data[start : start + _PART_BYTES] for start in parts)
    except OSError:  # it is not there, perhaps since a moment ago; or the disk fails
        return False


def _write(descriptor: int, data: Iterable[bytes]) -> StoredOriginal:
    digest = hashlib.sha256()
    size = 0
    with os.fdopen(descriptor, "wb") as file:
        for part in data:
            digest.update(part)
            size += len(part)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    return StoredOriginal(digest.hexdigest(), size)


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive the loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
