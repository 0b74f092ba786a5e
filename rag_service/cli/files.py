"""Which files a command line means, and what to call each."""

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import InvalidRequest, TooLarge

READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file and its external id: its path relative to the folder that was named, with ``/``."""

    path: Path
    external_id: str


def find_files(paths: Sequence[Path], *, recursive: bool, leave_out: Path) -> list[FoundFile]:
    """Return the files that the paths mean, each once, in order of path and name.

    A folder means its files and, if `recursive`, those of the folders in it; hidden files and folders
    are left out, and links to folders are not followed. A file means itself, under its bare name.

    Args:
        paths: files and folders that exist.
        recursive: whether folders inside folders count.
        leave_out: a folder that is never entered: our own data.

    Raises:
        InvalidRequest: a path does not exist, no file is found, or two files get one external id.
    """
    found: dict[str, FoundFile] = {}
    for path in paths:
        for file in _files(path, recursive=recursive, leave_out=leave_out.resolve()):
            other = found.setdefault(file.external_id, file)
            if not other.path.samefile(file.path):
                raise InvalidRequest(
                    f"{other.path} and {file.path} would both be {file.external_id!r}; name their common "
                    "folder instead, or take them into two collections."
                )
    if not found:
        raise InvalidRequest(f"No files in {', '.join(map(str, paths))}; check the path.")
    return list(found.values())


def check_size(path: Path, *, most_bytes: int) -> None:
    """Refuse a file that can not be taken in, before it is read.

    Raises:
        TooLarge: it has more than `most_bytes`.
        PermissionError: it can not be opened.
    """
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    size = path.stat().st_size
    if size > most_bytes:
        raise TooLarge(f"The file has {size >> 20} MiB; RAG_MAX_UPLOAD_MB allows {most_bytes >> 20}.")


def parts_of(path: Path) -> Callable[[], Iterator[bytes]]:
    """Return what opens the file anew and yields its bytes in parts."""

    def parts() -> Iterator[bytes]:
        with path.open("rb") as file:
            while part := file.read(READ_BYTES):
                yield part

    return parts


def _files(path: Path, *, recursive: bool, leave_out: Path) -> Iterator[FoundFile]:
    if path.is_file():
        yield FoundFile(path, path.resolve().name)
    elif path.is_dir():
        for file in _walk(path, recursive=recursive, leave_out=leave_out):
            yield FoundFile(file, file.relative_to(path).as_posix())
    else:
        raise InvalidRequest(f"There is no file or folder {path}; check the path.")


def _walk(folder: Path, *, recursive: bool, leave_out: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if recursive and not name.startswith(".") and (here / name).resolve() != leave_out
        )
        for name in sorted(names):
            if not name.startswith(".") and (here / name).is_file():
                yield here / name
