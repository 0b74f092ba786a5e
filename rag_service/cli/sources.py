"""Which documents a command line means: files, folders, patterns, archives, lines of JSON."""

import errno
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from corpus.errors import InvalidRequest, TooLarge
from rag_service.sources.source import READ_BYTES, Parts, Source, size_problem


def check_paths(paths: Sequence[Path], *, recursive: bool, leave_out: Path) -> None:
    """Look over what was named before anything is taken in; archives and JSON lines are not opened.

    Raises:
        InvalidRequest: a path means nothing, or two files would get one external id.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        empty = True
        for file, external_id in _files(path, recursive=recursive, leave_out=leave_out.resolve()):
            empty = False
            other = seen.setdefault(external_id, file)
            if not other.samefile(file):
                raise InvalidRequest(
                    f"{other} and {file} would both be {external_id!r}; name their common folder instead, "
                    "or take them into two collections."
                )
        if empty:
            raise InvalidRequest(f"There are no files in {path}; check the path.")


def find_sources(paths: Sequence[Path], *, recursive: bool, leave_out: Path) -> Iterator[Source]:
    """Yield the documents that the paths mean, in order of path and name.

    A folder means its files and, if `recursive`, those of the folders in it; hidden files and folders
    are left out, and links to folders are not followed. An archive (zip, tar) that is named means its
    members; a ``.jsonl`` file that is named means its lines. Any other file means itself. A path that
    does not exist is a pattern.

    Args:
        paths: what was named, see `check_paths`.
        recursive: whether folders inside folders count.
        leave_out: a folder that is never entered: our own data.
    """
    from rag_service.sources import archives, records

    for path in paths:
        if path.is_file() and archives.is_archive(path.name):
            yield from archives.members(path.name, path)
        elif path.is_file() and records.has_lines(path.name):
            with path.open("rb") as opened:
                yield from records.lines(path.name, opened)
        else:
            for file, external_id in _files(path, recursive=recursive, leave_out=leave_out.resolve()):
                yield _source(file, external_id)


def check_size(path: Path, *, most_bytes: int) -> None:
    """Refuse a file that can not be taken in, before it is read.

    Raises:
        TooLarge: it has more than `most_bytes`.
        PermissionError: it can not be opened.
    """
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    if problem := size_problem(path.stat().st_size, most_bytes):
        raise TooLarge(problem)


def parts_of(path: Path) -> Parts:
    """Return what opens the file anew and yields its bytes in parts."""

    def parts() -> Iterator[bytes]:
        with path.open("rb") as file:
            while part := file.read(READ_BYTES):
                yield part

    return parts


def _files(path: Path, *, recursive: bool, leave_out: Path) -> Iterator[tuple[Path, str]]:
    """Yield files with their external ids."""
    if path.is_file():
        yield path, path.resolve().name
    elif path.is_dir():
        for file in _walk(path, recursive=recursive, leave_out=leave_out):
            yield file, file.relative_to(path).as_posix()
    else:
        yield from _matches(path, recursive=recursive)


def _matches(pattern: Path, *, recursive: bool) -> Iterator[tuple[Path, str]]:
    magic = [number for number, part in enumerate(pattern.parts) if glob.has_magic(part)]
    if not magic:
        raise InvalidRequest(f"There is no file or folder {pattern}; check the path.")
    fixed = Path(*pattern.parts[: magic[0]])
    for name in sorted(glob.glob(str(pattern), recursive=recursive)):  # noqa: PTH207 - may be absolute
        if Path(name).is_file():
            yield Path(name), Path(name).relative_to(fixed).as_posix()


def _walk(folder: Path, *, recursive: bool, leave_out: Path) -> Iterator[Path]:
    """Yield the files, and the folders that can not be opened: somebody believes that they are taken in."""
    closed: list[Path] = []

    def note(error: OSError) -> None:
        if isinstance(error, PermissionError):
            closed.append(Path(error.filename))

    for place, folders, names in os.walk(folder, onerror=note):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if recursive and not name.startswith(".") and (here / name).resolve() != leave_out
        )
        for name in sorted(names):
            if not name.startswith(".") and (here / name).is_file():
                yield here / name
    yield from closed


def _source(path: Path, external_id: str) -> Source:
    what = "folder" if path.is_dir() else "file"
    problem = None if os.access(path, os.R_OK) else f"The {what} can not be opened; check its permissions."
    return Source(
        external_id, parts_of(path), path.stat().st_size, path.name, external_id=external_id, problem=problem
    )
