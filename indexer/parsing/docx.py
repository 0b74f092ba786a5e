"""DOCX: paragraphs, headings, lists and tables in the order of the page; notes at the end."""

import io
from collections.abc import Iterator
from typing import Any

import docx
from docx.document import Document
from docx.oxml.ns import qn
from docx.table import Table, _Cell
from lxml import etree

from corpus.chunks import ParsedDocument
from indexer.parsing.writing import TextWriter, clean_title
from indexer.parsing.zipped import open_zip, safe_xml_parser

Element = Any  # an lxml element; python-docx has no types for it

_TEXTS = {qn("w:t"), qn("m:t")}
_BREAKS = {qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:tab"): " ", qn("w:noBreakHyphen"): "-"}
# Deleted text, field codes, comments' and drawings' second versions, and what stands in text boxes,
# which are blocks of their own.
_SKIPPED = {
    qn("w:del"), qn("w:instrText"), qn("w:txbxContent"), qn("w:pPr"), qn("w:rPr"), qn("w:moveFrom"),
    "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback",
}  # fmt: skip
_NOTES = ("/footnotes", "/endnotes")
_DEEPEST_LIST = 8
_HEADING_STYLE = "heading "


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read the document's body, then its foot- and endnotes. Comments and page headers are left out."""
    open_zip(data).close()
    document = docx.Document(io.BytesIO(data))
    body = _Body(document)
    body.write(document.element.body)
    for note in _notes(document):
        body.writer.paragraph(note)
    title = clean_title(document.core_properties.title) or body.title
    return body.writer.finish(media_type, title)


class _Body:
    """Writes block after block, and remembers the title."""

    def __init__(self, document: Document) -> None:
        self.writer = TextWriter()
        self.title: str | None = None
        self._document = document
        self._styles = _Styles(document.styles.element)
        self._listed: list[str] = []

    def write(self, container: Element) -> None:
        """Write the container's blocks."""
        for block in container:
            if block.tag == qn("w:p"):
                self._write_paragraph(block)
            elif block.tag == qn("w:tbl"):
                self._end_list()
                self.writer.table(_rows(Table(block, self._document)))
            elif block.tag not in _SKIPPED:
                self.write(block)  # content controls, insertions and the like hold blocks
        self._end_list()

    def _write_paragraph(self, element: Element) -> None:
        text = _text(element).strip()
        style = _style_id(element) or ""
        level = self._heading_level(element, style)
        depth = _list_depth(element, listed=style in self._styles.listed)
        if text and level is None and depth is not None:
            self._listed.append(f"{'  ' * depth}- {text}")
            return
        self._end_list()
        if level is not None:
            self.writer.heading(level, text)
        else:
            self.writer.paragraph(text)
        if level is not None or style == "Title":
            self.title = self.title or text
        for box in _text_boxes(element):
            self.write(box)

    def _end_list(self) -> None:
        self.writer.lines(self._listed)
        self._listed = []

    def _heading_level(self, element: Element, style: str) -> int | None:
        own = element.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
        return self._styles.levels.get(style) if own is None else _outline_level(own)


class _Styles:
    """What the paragraph styles say, by style id: heading levels, and which are lists."""

    def __init__(self, styles: Element) -> None:
        self.levels: dict[str, int] = {}
        self.listed: set[str] = set()
        for style in styles.findall(qn("w:style")):
            self._add(style.get(qn("w:styleId")) or "", style, _value(style.find(qn("w:basedOn"))) or "")

    def _add(self, key: str, style: Element, parent: str) -> None:
        """Add a style; it inherits from one that stands, as Word writes them, before it."""
        name = (_value(style.find(qn("w:name"))) or "").lower()
        outline = style.find(f"{qn('w:pPr')}/{qn('w:outlineLvl')}")
        level = self.levels.get(parent) if outline is None else _outline_level(outline)
        if name.startswith(_HEADING_STYLE) and name.removeprefix(_HEADING_STYLE).isdigit():
            level = int(name.removeprefix(_HEADING_STYLE))
        if level is not None:
            self.levels[key] = level
        if parent in self.listed or style.find(f"{qn('w:pPr')}/{qn('w:numPr')}") is not None:
            self.listed.add(key)


def _outline_level(element: Element) -> int | None:
    value = _value(element) or ""
    return int(value) + 1 if value.isdigit() and int(value) < 9 else None  # noqa: PLR2004 - 9 is body text


def _value(element: Element) -> str | None:
    return None if element is None else element.get(qn("w:val"))


def _style_id(paragraph: Element) -> str | None:
    return _value(paragraph.find(f"{qn('w:pPr')}/{qn('w:pStyle')}"))


def _list_depth(paragraph: Element, *, listed: bool) -> int | None:
    """Return how deep in lists the paragraph stands; None for no list, by its style or its own word."""
    numbering = paragraph.find(f"{qn('w:pPr')}/{qn('w:numPr')}")
    if numbering is None:
        return 0 if listed else None
    if _value(numbering.find(qn("w:numId"))) == "0":
        return None  # taken out of its style's list
    depth = _value(numbering.find(qn("w:ilvl"))) or "0"
    return min(int(depth), _DEEPEST_LIST) if depth.isdigit() else 0


def _text(element: Element) -> str:
    """Return the text that the element shows."""
    return "".join(_pieces(element))


def _pieces(element: Element) -> Iterator[str]:
    for child in element:
        if child.tag in _TEXTS:
            yield child.text or ""
        elif child.tag in _BREAKS:
            yield _BREAKS[child.tag]
        elif child.tag not in _SKIPPED:
            yield from _pieces(child)


def _text_boxes(paragraph: Element) -> Iterator[Element]:
    for box in paragraph.iter(qn("w:txbxContent")):
        if not any("Fallback" in str(above.tag) for above in box.iterancestors()):
            yield box


def _rows(table: Table) -> list[list[str]]:
    """Return the cells' texts; a merged cell stands in each row and column that it spans."""
    return [[_cell_text(cell) for cell in row.cells] for row in table.rows]


def _cell_text(cell: _Cell) -> str:
    return " ".join(_text(paragraph) for paragraph in cell._tc.iter(qn("w:p")))  # noqa: SLF001 - its XML


def _notes(document: Document) -> Iterator[str]:
    for relation in document.part.rels.values():
        if relation.reltype.endswith(_NOTES) and not relation.is_external:
            root = etree.fromstring(relation.target_part.blob, parser=safe_xml_parser())
            for note in root:
                if note.get(qn("w:type")) is None:  # separators have a type
                    yield _text(note).strip()
