"""ODT and ODP: headings, paragraphs, lists and tables; a slide is a page."""

from collections.abc import Iterator

from lxml import etree

from corpus.chunks import ParsedDocument
from corpus.errors import EncryptedDocument
from indexer.parsing.writing import TextWriter, clean_title
from indexer.parsing.zipped import open_zip, xml_part

_OASIS = "{urn:oasis:names:tc:opendocument:xmlns:%s:1.0}"
_TEXT, _TABLE, _DRAW, _OFFICE = (_OASIS % name for name in ("text", "table", "drawing", "office"))
_MANIFEST = _OASIS % "manifest"
_DC_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_PRESENTATION = _OASIS % "presentation"
_SKIPPED = {f"{_OFFICE}annotation", f"{_TEXT}tracked-changes", f"{_OFFICE}forms", f"{_TEXT}note-citation"}
_PARAGRAPHS = {f"{_TEXT}p", f"{_TEXT}h"}
_SPACES = {f"{_TEXT}s": " ", f"{_TEXT}tab": " ", f"{_TEXT}line-break": "\n"}


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read the document's body.

    Raises:
        EncryptedDocument: a password is needed.
    """
    with open_zip(data) as archive:
        if "META-INF/manifest.xml" in archive.namelist():
            manifest = xml_part(archive, "META-INF/manifest.xml")
            if next(manifest.iter(f"{_MANIFEST}encryption-data"), None) is not None:
                raise EncryptedDocument("The document is encrypted; save it without a password.")
        content = xml_part(archive, "content.xml")
        meta = xml_part(archive, "meta.xml") if "meta.xml" in archive.namelist() else None
    writer = TextWriter()
    body = _Body(writer)
    for part in content.iter(f"{_OFFICE}body"):
        body.write(part)
    title = meta.findtext(f".//{_DC_TITLE}") if meta is not None else None
    return writer.finish(media_type, clean_title(title) or writer.first_heading)


class _Body:
    def __init__(self, writer: TextWriter) -> None:
        self._writer = writer
        self._page = 0

    def write(self, container: etree._Element) -> None:
        """Write the blocks of a container."""
        for block in container.iterchildren("*"):
            if block.tag == f"{_TEXT}h":
                level = block.get(f"{_TEXT}outline-level") or "1"
                self._writer.heading(int(level) if level.isdigit() else 1, _text(block))
            elif block.tag == f"{_TEXT}p":
                self._writer.paragraph(_text(block))
                self._write_boxes(block)
            elif block.tag == f"{_TEXT}list":
                self._writer.lines(_list_lines(block, 0))
            elif block.tag == f"{_TABLE}table":
                self._writer.table(_rows(block))
            elif block.tag not in _SKIPPED:
                self._begin_page(block)
                self.write(block)

    def _begin_page(self, block: etree._Element) -> None:
        if block.tag == f"{_DRAW}page":
            self._page += 1
            self._writer.page(self._page)

    def _write_boxes(self, paragraph: etree._Element) -> None:
        for box in paragraph.iter(f"{_DRAW}text-box"):
            self.write(box)


def _text(element: etree._Element) -> str:
    return "".join(_pieces(element)).strip()


def _pieces(element: etree._Element) -> Iterator[str]:
    yield element.text or ""
    for child in element.iterchildren("*"):
        if child.tag in _SPACES:
            yield _SPACES[child.tag]
        elif child.tag not in _SKIPPED and child.tag != f"{_DRAW}text-box":
            yield from _pieces(child)
            if child.tag in _PARAGRAPHS:
                yield " "
        yield child.tail or ""


def _list_lines(element: etree._Element, depth: int) -> Iterator[str]:
    for item in element.iterchildren("*"):
        for block in item.iterchildren("*"):
            if block.tag == f"{_TEXT}list":
                yield from _list_lines(block, depth + 1)
            elif text := _text(block):
                yield f"{'  ' * min(depth, 8)}- {text}"


def _rows(table: etree._Element) -> list[list[str]]:
    return [
        [_text(cell) for cell in row.iterchildren(f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")]
        for row in table.iter(f"{_TABLE}table-row")
    ]
