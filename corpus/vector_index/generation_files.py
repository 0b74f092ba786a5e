"""A generation's files: an immutable base of vectors that is complete or not there.

A folder holds ``vectors.faiss`` (a FAISS index), ``ids.npy`` (the chunk id of each position, ascending),
with inverted lists ``exact.npy`` (the float16 vectors), and ``manifest.json``: what was built from what,
and the size and sha256 of the others. The manifest is written last, after the others are on the disk; a
folder without one was never finished.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from corpus.errors import IndexDamaged
from corpus.vector_index.inverted_lists import Measured, build_lists, measure_lists

VECTORS = "vectors.faiss"
EXACT = "exact.npy"
IDS = "ids.npy"
MANIFEST = "manifest.json"
FORMAT = 1
INDEX_TYPES = ("auto", "flat", "ivf")
FLAT_UP_TO = 50_000  # vectors; an exact search then takes about 10 ms
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What a file must be like."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a base holds: every vector of `embedder` over `chunking` up to `change_number`.

    `index_type` is flat (exact) or ivf (inverted lists), `measured` what the latter find.
    """

    embedder: str
    chunking: str
    change_number: int
    dimension: int
    count: int
    files: dict[str, FileRecord]
    index_type: str = "flat"
    measured: Measured | None = None
    format: int = FORMAT


@dataclass(frozen=True, slots=True)
class Base:
    """A base opened for reading; `index` is a memory-mapped FAISS index, `exact` the vectors beside lists."""

    index: Any
    ids: NDArray[np.int64]
    manifest: Manifest
    exact: NDArray[np.float16] | None = None


def write_base(
    folder: Path,
    ids: NDArray[np.int64],
    vectors: NDArray[np.float32],
    *,
    embedder: str,
    chunking: str,
    change_number: int,
    index_type: str = "auto",
) -> Manifest:
    """Write a base; when this returns it is on the disk, and before that it does not count.

    Args:
        folder: the generation's own folder; what an interrupted call left in it is replaced.
        ids: chunk ids, each once, in any order.
        vectors: shape (len(ids), dimension).
        embedder: id of the embedder that made the vectors.
        chunking: `Chunking.key` of the chunks.
        change_number: the last change that the vectors reflect.
        index_type: flat, ivf, or auto: flat up to `FLAT_UP_TO` vectors.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    order = np.argsort(ids, kind="stable")
    is_flat = len(ids) == 0 or index_type == "flat" or (index_type == "auto" and len(ids) <= FLAT_UP_TO)
    write = _write_flat if is_flat else _write_lists
    measured = write(folder, vectors, order)
    with _complete(folder / IDS) as file, file.open("wb") as opened:
        np.save(opened, ids[order].astype(np.int64))
    names = (VECTORS, IDS) if is_flat else (VECTORS, IDS, EXACT)
    manifest = Manifest(
        embedder=embedder,
        chunking=chunking,
        change_number=change_number,
        dimension=vectors.shape[1],
        count=len(ids),
        files={name: _record(folder / name) for name in names},
        index_type="flat" if is_flat else "ivf",
        measured=measured,
    )
    with _complete(folder / MANIFEST) as file:
        file.write_text(json.dumps(asdict(manifest), indent=1) + "\n", encoding="utf-8")
    _flush_to_disk(folder.parent)
    return manifest


def _write_flat(folder: Path, vectors: NDArray[np.float32], order: NDArray[np.int64]) -> None:
    index = faiss.IndexFlatIP(vectors.shape[1])
    for block in _blocks(vectors, order):
        index.add(block)
    _write_index(folder, index)


def _write_lists(folder: Path, vectors: NDArray[np.float32], order: NDArray[np.int64]) -> Measured:
    with _complete(folder / EXACT) as file:
        exact = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=vectors.shape)
        start = 0
        for block in _blocks(vectors, order):
            exact[start : start + len(block)] = block
            start += len(block)
        exact.flush()
    index = build_lists(exact)
    _write_index(folder, index)
    return measure_lists(index, exact)


def _blocks(vectors: NDArray[np.float32], order: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
    """Yield all rows in order; never a second copy of all in memory."""
    for start in range(0, len(order), _ROWS_AT_ONCE):
        yield np.ascontiguousarray(vectors[order[start : start + _ROWS_AT_ONCE]], dtype=np.float32)


def _write_index(folder: Path, index: Any) -> None:  # noqa: ANN401 - FAISS has no types
    with _complete(folder / VECTORS) as file:
        faiss.write_index(index, str(file))


def load_base(folder: Path, *, check_hashes: bool = False) -> Base:
    """Open a base, its vectors memory-mapped.

    Counts and file sizes are always checked; with `check_hashes` every byte is (1 s for 300 MB).

    Raises:
        IndexDamaged: the files are missing or are not what the manifest says.
    """
    manifest = _read_manifest(folder)
    for name, record in manifest.files.items():
        _check_file(folder / name, record, check_hashes=check_hashes)
    try:
        index = faiss.read_index(str(folder / VECTORS), faiss.IO_FLAG_MMAP_IFC)
        ids = np.load(folder / IDS)
        exact = np.load(folder / EXACT, mmap_mode="r") if EXACT in manifest.files else None
    except Exception as error:  # on damaged bytes the libraries raise whatever comes
        raise _damaged(folder, f"a file can not be read ({error})") from error
    base = Base(index, ids, manifest, exact)
    if not _has_counts(base):
        raise _damaged(folder, "the counts differ from the manifest's")
    return base


def _has_counts(base: Base) -> bool:
    count, dimension = base.manifest.count, base.manifest.dimension
    if (base.index.ntotal, base.index.d) != (count, dimension):
        return False
    if (base.ids.dtype, base.ids.shape) != (np.dtype(np.int64), (count,)):
        return False
    exact = base.exact
    if exact is None:
        return True
    as_written = (exact.dtype, exact.shape) == (np.dtype(np.float16), (count, dimension))
    return as_written and bool(exact.flags.c_contiguous)


@contextmanager
def _complete(file: Path) -> Iterator[Path]:
    """Give a path to write to, which becomes `file` once its bytes are on the disk.

    A process that has the old file mapped keeps reading the old one: its bytes are not touched.
    """
    unfinished = file.with_name(f"{file.name}.new")
    yield unfinished
    _flush_to_disk(unfinished)
    unfinished.replace(file)
    _flush_to_disk(file.parent)


def _read_manifest(folder: Path) -> Manifest:
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {name: FileRecord(**record) for name, record in content["files"].items()}
        measured = Measured(**content["measured"]) if content.get("measured") else None
        manifest = Manifest(**{**content, "files": files, "measured": measured})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(folder, f"its manifest can not be read ({error})") from error
    expected = {VECTORS, IDS, EXACT} if manifest.index_type == "ivf" else {VECTORS, IDS}
    if set(files) != expected or (manifest.measured is None) != (manifest.index_type == "flat"):
        raise _damaged(folder, "its manifest lacks what an index of its type has")
    if manifest.format != FORMAT:
        raise _damaged(folder, f"it has format {manifest.format}, this version reads {FORMAT}")
    return manifest


def _check_file(file: Path, record: FileRecord, *, check_hashes: bool) -> None:
    if not file.is_file() or file.stat().st_size != record.size:
        raise _damaged(file.parent, f"{file.name} is missing or has another size than written")
    if check_hashes and _hash(file) != record.sha256:
        raise _damaged(file.parent, f"the bytes of {file.name} have changed")


def _damaged(folder: Path, what: str) -> IndexDamaged:
    return IndexDamaged(f"Generation {folder.name} is damaged: {what}; run `rag check --repair`.")


def _record(file: Path) -> FileRecord:
    return FileRecord(size=file.stat().st_size, sha256=_hash(file))


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
