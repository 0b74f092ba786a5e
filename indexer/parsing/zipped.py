"""ZIP containers of the office and book formats, opened with care."""

import io
import zipfile

from lxml import etree

from corpus.errors import DamagedDocument, EncryptedDocument, UnsafeDocument

_FREE_BYTES = 50_000_000  # a container may always expand to that
_MOST_EXPANSION = 100  # times its size, beyond; text compresses ten- to twentyfold
_ENCRYPTED = 0x1


def open_zip(data: bytes) -> zipfile.ZipFile:
    """Open the container after a look at its directory.

    Raises:
        DamagedDocument: the directory is missing or broken, as in a file that was cut off.
        EncryptedDocument: its parts are encrypted.
        UnsafeDocument: it would expand beyond all measure.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DamagedDocument("The file's directory is broken, as if the file were cut off.") from error
    parts = archive.infolist()
    if any(part.flag_bits & _ENCRYPTED for part in parts):
        raise EncryptedDocument("The document is encrypted; save it without a password.")
    expanded = sum(part.file_size for part in parts)
    if expanded > _FREE_BYTES + _MOST_EXPANSION * len(data):
        raise UnsafeDocument(
            f"The file of {len(data)} bytes would expand to {expanded}; it was made to exhaust its reader."
        )
    return archive


def xml_part(archive: zipfile.ZipFile, name: str) -> etree._Element:
    """Parse one part; entities are neither expanded nor fetched.

    Raises:
        DamagedDocument: there is no such part, or it is no XML.
    """
    try:
        return etree.fromstring(archive.read(name), parser=safe_xml_parser())
    except (KeyError, etree.XMLSyntaxError, zipfile.BadZipFile) as error:
        raise DamagedDocument(f"The file's part {name} is missing or broken: {error}") from error


def safe_xml_parser() -> etree.XMLParser:
    """Return a parser that opens nothing, expands nothing, and stops at 256 levels."""
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, remove_comments=True
    )
