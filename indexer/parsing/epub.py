"""EPUB: the chapters in reading order, each read as HTML."""

import posixpath
import zipfile
from collections.abc import Iterator
from urllib.parse import unquote

from lxml import etree

from corpus.chunks import ParsedDocument
from corpus.errors import DamagedDocument, EncryptedDocument
from indexer.parsing.cleaning import decode
from indexer.parsing.html import write_html
from indexer.parsing.writing import TextWriter
from indexer.parsing.zipped import open_zip, xml_part

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read all chapters of the spine.

    Raises:
        EncryptedDocument: the chapters are under a copy protection.
    """
    writer = TextWriter()
    with open_zip(data) as archive:
        package_path = _package_path(archive)
        package = xml_part(archive, package_path)
        chapters = list(_chapters(package, posixpath.dirname(package_path)))
        if _encrypted(archive) & set(chapters):
            raise EncryptedDocument("The book is copy-protected; give one without.")
        names = set(archive.namelist())
        for chapter in chapters:
            if chapter in names:
                write_html(writer, decode(archive.read(chapter)))
    return writer.finish(media_type, package.findtext(f".//{_DC_TITLE}"))


def _package_path(archive: zipfile.ZipFile) -> str:
    for element in xml_part(archive, _CONTAINER).iter("{*}rootfile"):
        return element.get("full-path") or ""
    raise DamagedDocument("The book's container names no package.")


def _chapters(package: etree._Element, folder: str) -> Iterator[str]:
    """Yield the archive's names of the chapters, in reading order."""
    paths = {item.get("id"): item.get("href") for item in package.iter("{*}item")}
    for reference in package.iter("{*}itemref"):
        path = paths.get(reference.get("idref"))
        if path:
            yield posixpath.normpath(posixpath.join(folder, unquote(path)))


def _encrypted(archive: zipfile.ZipFile) -> set[str]:
    if _ENCRYPTION not in archive.namelist():
        return set()
    references = xml_part(archive, _ENCRYPTION).iter("{*}CipherReference")
    return {unquote(reference.get("URI") or "") for reference in references}
