"""The store of uploaded bytes."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from corpus.errors import DamagedDocument
from corpus.originals import Originals


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Return an empty store."""
    return Originals(tmp_path / "originals")


def files(folder: Path) -> list[Path]:
    """Return every file below a folder."""
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_is_stored_is_read_back_under_its_hash(originals: Originals) -> None:
    """The name is the SHA-256 of the bytes, whether they come whole or in parts."""
    stored = originals.store(iter([b"polar ", b"station"]))
    assert stored.sha256 == hashlib.sha256(b"polar station").hexdigest()
    assert stored.size == 13
    assert originals.read(stored.sha256) == b"polar station"
    assert originals.exists(stored.sha256)


def test_the_same_bytes_are_kept_once(originals: Originals) -> None:
    """Storing twice leaves one file and no temporary one."""
    first = originals.store(b"once")
    assert originals.store(b"once") == first
    assert files(originals.folder) == [originals.path(first.sha256)]
    assert list(originals.hashes()) == [first.sha256]


def test_known_bytes_are_not_written_again(originals: Originals, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second `rag ingest` of many records does not wait for the disk."""
    first = originals.store(b"once")
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("it was written"))
    assert originals.store(b"once") == first


@pytest.mark.parametrize("in_parts", [False, True])
@pytest.mark.parametrize("damaged", [b"polar", b"polar statiom"], ids=["cut off", "of the same size"])
def test_a_damaged_file_is_replaced(originals: Originals, damaged: bytes, *, in_parts: bool) -> None:
    """The same upload once more makes it whole; until then it is not read for what it is not."""
    sha256 = originals.store(b"polar station").sha256
    originals.path(sha256).write_bytes(damaged)
    with pytest.raises(DamagedDocument, match="have changed on the disk"):
        originals.read(sha256)
    originals.store(iter([b"polar ", b"station"]) if in_parts else b"polar station")
    assert originals.read(sha256) == b"polar station"


def test_what_others_put_beside_the_files_is_none_of_them(originals: Originals) -> None:
    """A network file system keeps a file that is deleted while it is read, under a name of its own."""
    sha256 = originals.store(b"once").sha256
    (originals.path(sha256).parent / ".nfs000000000004a2").write_bytes(b"once")
    assert list(originals.hashes()) == [sha256]


def test_an_upload_that_breaks_off_leaves_nothing(originals: Originals) -> None:
    """An error of the sender reaches the caller; no part of the file stays."""

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        originals.store(broken())
    assert files(originals.folder) == []


def test_leftovers_of_crashes_are_swept_when_they_are_old(originals: Originals) -> None:
    """A killed process leaves its temporary file; a young one may belong to a live upload."""
    kept = originals.store(b"kept")
    leftover = originals.folder / "incoming" / "tmp1"
    leftover.write_bytes(b"half")
    assert originals.sweep() == 0
    assert originals.sweep(stale_after_s=0) == 1
    assert list(originals.hashes()) == [kept.sha256]


def test_deleting_twice_is_fine(originals: Originals) -> None:
    """Deletion is idempotent; reading afterwards says that the file is missing."""
    stored = originals.store(b"gone")
    originals.delete(stored.sha256)
    originals.delete(stored.sha256)
    assert not originals.exists(stored.sha256)
    with pytest.raises(FileNotFoundError):
        originals.read(stored.sha256)
