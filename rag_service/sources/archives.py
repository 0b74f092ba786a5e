"""The members of zip and tar archives as documents, read one after the other.

No more than one of them is ever unpacked to disk, a large one, into a file without a name.
"""

import lzma
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import IO

from rag_service.sources.source import READ_BYTES, Parts, Source, no_parts

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    RuntimeError,  # for want of a password
    ValueError,  # names that are not in the encoding that they claim, numbers that are none
    LookupError,
    ArithmeticError,
)
"""What reading an archive may raise: both modules check less than they compute with."""

_MODE_SHIFT = 16  # where Unix programs keep a member's mode among its external attributes
_ENCRYPTED = 0x1  # a member's first flag bit (APPNOTE.TXT, section 4.4.4)


def is_archive(name: str) -> bool:
    """Tell an archive by its name; Office files are zip archives too, and documents."""
    return name.lower().endswith((".zip", *_TAR))


def members(name: str, file: Path | IO[bytes]) -> Iterator[Source]:
    """Yield the archive's files under their paths in it; hidden ones and links are left out.

    An archive that is damaged yields, after what can be read of it, itself with its problem.
    """
    try:
        yield from _zip_members(file) if name.lower().endswith(".zip") else _tar_members(file)
    except DAMAGED as error:
        problem = f"The archive can not be read any further ({error}); make it again."
        yield Source(name, no_parts, 0, problem=problem)


def _zip_members(file: Path | IO[bytes]) -> Iterator[Source]:
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not (member.is_dir() or _is_link(member) or _is_hidden(member.filename)):
                encrypted = bool(member.flag_bits & _ENCRYPTED)
                with _unpacked_once(_zip_parts(archive, member), member.file_size) as parts:
                    yield Source(
                        member.filename,
                        parts,
                        member.file_size,
                        PurePosixPath(member.filename).name,
                        external_id=member.filename,
                        problem="It is encrypted in the archive; unpack it first." if encrypted else None,
                    )


def _tar_members(file: Path | IO[bytes]) -> Iterator[Source]:
    with tarfile.open(file) if isinstance(file, Path) else tarfile.open(fileobj=file) as archive:
        for member in archive:
            if member.isfile() and not _is_hidden(member.name):
                name = member.name.removeprefix("./")
                with _unpacked_once(_tar_parts(archive, member), member.size) as parts:
                    yield Source(name, parts, member.size, PurePosixPath(name).name, external_id=name)


@contextmanager
def _unpacked_once(parts: Parts, size: int) -> Iterator[Parts]:
    """Yield what opens a member's bytes anew, and unpacks those of a large one only the first time.

    A compressed tar archive would be unpacked from its beginning for each second reading.
    """
    if size <= READ_BYTES:
        yield parts
        return
    with TemporaryFile() as file:
        whole = False

        def again() -> Iterator[bytes]:
            nonlocal whole
            file.seek(0)
            if whole:
                while part := file.read(READ_BYTES):
                    yield part
                return
            for part in parts():
                file.write(part)
                yield part
            whole = True

        yield again


def _zip_parts(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Parts:
    def parts() -> Iterator[bytes]:
        with archive.open(member) as opened:
            while part := opened.read(READ_BYTES):
                yield part

    return parts


def _tar_parts(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Parts:
    def parts() -> Iterator[bytes]:
        opened = archive.extractfile(member)
        while opened is not None and (part := opened.read(READ_BYTES)):
            yield part

    return parts


def _is_link(member: zipfile.ZipInfo) -> bool:
    """Tell a symbolic link, whose bytes are the path that it points to."""
    return stat.S_ISLNK(member.external_attr >> _MODE_SHIFT)


def _is_hidden(name: str) -> bool:
    return any(
        part.startswith((".", "__MACOSX")) and part not in {".", ".."} for part in PurePosixPath(name).parts
    )
