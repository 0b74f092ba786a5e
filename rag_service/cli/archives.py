"""The members of zip and tar archives as documents, read one after the other, never unpacked to disk."""

import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rag_service.cli.sources import READ_BYTES, Parts, Source, no_parts

_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError)
"""What reading an archive may raise; zipfile says RuntimeError for want of a password."""

_ENCRYPTED = 0x1  # a member's first flag bit (APPNOTE.TXT, section 4.4.4)


def is_archive(path: Path) -> bool:
    """Tell an archive by its name; Office files are zip archives too, and documents."""
    return path.name.lower().endswith((".zip", *_TAR))


def members(path: Path) -> Iterator[Source]:
    """Yield the archive's files under their paths in it; hidden ones are left out.

    An archive that is damaged yields, after what can be read of it, itself with its problem.
    """
    try:
        yield from _zip_members(path) if path.suffix.lower() == ".zip" else _tar_members(path)
    except DAMAGED as error:
        problem = f"The archive can not be read any further ({error}); make it again."
        yield Source(path.name, no_parts, 0, problem=problem)


def _zip_members(path: Path) -> Iterator[Source]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir() and not _is_hidden(member.filename):
                encrypted = bool(member.flag_bits & _ENCRYPTED)
                yield Source(
                    member.filename,
                    _zip_parts(archive, member),
                    member.file_size,
                    PurePosixPath(member.filename).name,
                    external_id=member.filename,
                    problem="It is encrypted in the archive; unpack it first." if encrypted else None,
                )


def _tar_members(path: Path) -> Iterator[Source]:
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and not _is_hidden(member.name):
                name = member.name.removeprefix("./")
                yield Source(
                    name,
                    _tar_parts(archive, member),
                    member.size,
                    PurePosixPath(name).name,
                    external_id=name,
                )


def _zip_parts(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Parts:
    def parts() -> Iterator[bytes]:
        with archive.open(member) as file:
            while part := file.read(READ_BYTES):
                yield part

    return parts


def _tar_parts(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Parts:
    def parts() -> Iterator[bytes]:
        file = archive.extractfile(member)
        while file is not None and (part := file.read(READ_BYTES)):
            yield part

    return parts


def _is_hidden(name: str) -> bool:
    return any(
        part.startswith((".", "__MACOSX")) and part not in {".", ".."} for part in PurePosixPath(name).parts
    )
