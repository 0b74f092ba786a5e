"""HTML: what a reader sees, as blocks.

The parser (libxml2) sends events and builds no tree: depth costs nothing, and its repairs of
unclosed tags are in the events.
"""

import re

from lxml import etree

from corpus.chunks import ParsedDocument
from indexer.parsing.cleaning import clean, decode
from indexer.parsing.writing import TextWriter, table_line

_SILENT = frozenset(
    "script style template svg math iframe object embed select datalist canvas audio video map".split()  # noqa: SIM905 - word lists read best as words
)
# They have no content. The parser does not know all of them, and ends some only with what they stand in.
_VOID = frozenset(
    "area base br col embed hr img input keygen link meta param source track wbr".split()  # noqa: SIM905 - same
)
_BLOCKS = frozenset(
    "p div section article header footer main aside nav form fieldset blockquote figure figcaption address "  # noqa: SIM905 - same
    "details summary dl dt dd hr body center legend caption noscript dialog".split()
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_LISTS = ("ul", "ol", "menu")
_HIDING_STYLE = re.compile(r"(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
_SPACE = re.compile(r"[ \t\n\r\f\u00a0]+")
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"\A\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_LONG_CELL = 200  # characters; a cell of more is a column of the page's layout, not of a table
_HEAD_BYTES = 4_000


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read a page: headings, paragraphs, lists, tables as rows; no scripts, no hidden elements."""
    writer = TextWriter()
    title = write_html(writer, decode(data, _declared_encoding(data)))
    return writer.finish(media_type, title or writer.first_heading)


def write_html(writer: TextWriter, markup: str, *, below: int = 0) -> str | None:
    """Append a page's text; headings go `below` levels deeper. Returns the page's title."""
    markup = _XML_DECLARATION.sub("", clean(markup))
    if not markup.strip():
        return None
    visible = _VisibleText(writer, below)
    parser = etree.HTMLParser(target=visible, huge_tree=True, encoding="utf-8")
    etree.fromstring(markup.encode(), parser=parser)
    return visible.title


def _declared_encoding(data: bytes) -> str | None:
    head = data[:_HEAD_BYTES]
    found = _META_CHARSET.search(head) or _XML_ENCODING.search(head)
    if not found:
        return None
    name = found[1].decode("ascii", errors="replace").lower()
    # The standard's reading of old labels: what calls itself Latin-1 or ASCII is Windows-1252.
    return "cp1252" if name in ("iso-8859-1", "latin1", "us-ascii", "ascii") else name


class _Row:
    """A table row being read."""

    def __init__(self) -> None:
        self.cells: list[str] = []
        self.is_layout = False  # found to hold blocks rather than values


class _VisibleText:
    """Receives the parser's events and writes blocks."""

    def __init__(self, writer: TextWriter, below: int) -> None:
        self.title: str | None = None
        self._writer = writer
        self._below = below
        self._text: list[str] = []
        self._lines: list[str] = []  # finished lines of the list or table being read
        self._hidden_depth = 0
        self._preformatted = 0
        self._rows: list[_Row] = []
        self._lists: list[int | None] = []  # the next number of each open list; None: bullets
        self._item = ""  # what stands before the list item being read

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Open an element."""
        if self._hidden_depth or _is_hidden(tag, attributes):
            self._hidden_depth += tag not in _VOID
        elif tag == "br":
            self._text.append("\n")
        elif tag in _HEADINGS or tag == "table":
            self._leave_layout_cell()
            self._flush_block()
        elif tag == "tr":
            self._flush_line()
            self._rows.append(_Row())
        elif tag == "pre":
            self._flush_block()
            self._preformatted += 1
        elif tag in _LISTS:
            self._open_list(tag)
        elif tag == "li":
            self._flush_line()
            self._item = self._marker()
        elif tag in _BLOCKS:
            self._break_block()

    def end(self, tag: str) -> None:
        """Close an element."""
        if self._hidden_depth:
            self._hidden_depth -= tag not in _VOID
        elif tag in _HEADINGS or tag == "title":
            self._end_title(tag)
        elif tag in ("td", "th", "tr"):
            self._end_table_part(tag)
        elif tag in ("pre", "table"):
            self._flush_block()
            self._preformatted = max(0, self._preformatted - (tag == "pre"))
        elif tag in _LISTS:
            self._close_list()
        elif tag == "li":
            self._flush_line()
        elif tag in _BLOCKS:
            self._break_block()

    def data(self, text: str) -> None:
        """Take text."""
        if not self._hidden_depth:
            self._text.append(text if self._preformatted else _SPACE.sub(" ", text))

    def comment(self, text: str) -> None:
        """Drop a comment."""

    def pi(self, target: str, data: str | None = None) -> None:
        """Drop a processing instruction."""

    def close(self) -> None:
        """Write what is left."""
        self._rows.clear()
        self._flush_block()

    def _take_text(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        if self._preformatted:
            return text.strip("\n").rstrip()
        return "\n".join(line.strip() for line in re.sub(r" {2,}", " ", text).split("\n")).strip()

    def _flush_line(self) -> None:
        """End a line of the running list or table."""
        text = self._take_text()
        if text:
            self._lines.append(self._item + text)
            self._item = ""

    def _flush_block(self) -> None:
        self._flush_line()
        if self._lines:
            self._writer.lines(self._lines)
            self._lines = []

    def _break_block(self) -> None:
        """A block begins or ends: a paragraph, a line of a list item, or a space within a cell."""
        if self._rows and not self._rows[-1].is_layout:
            if sum(map(len, self._text)) > _LONG_CELL:
                self._leave_layout_cell()
                self._flush_block()
            elif self._text:
                self._text.append(" ")
        elif self._lists:
            self._flush_line()
        else:
            self._flush_block()

    def _open_list(self, tag: str) -> None:
        self._leave_layout_cell()
        if self._lists:
            self._flush_line()
        else:
            self._flush_block()
        self._lists.append(1 if tag == "ol" else None)

    def _close_list(self) -> None:
        self._flush_line()
        if self._lists:
            self._lists.pop()
        if not self._lists:
            self._flush_block()

    def _marker(self) -> str:
        if not self._lists:
            return "- "
        indent = "  " * min(len(self._lists) - 1, 8)
        number = self._lists[-1]
        if number is None:
            return f"{indent}- "
        self._lists[-1] = number + 1
        return f"{indent}{number}. "

    def _end_title(self, tag: str) -> None:
        text = self._take_text()
        if tag == "title":
            self.title = self.title or text
        elif text:
            self._writer.heading(_HEADINGS[tag] + self._below, text)

    def _leave_layout_cell(self) -> None:
        """Blocks begin inside a cell: the row is page layout, and its cells are blocks."""
        if self._rows and not self._rows[-1].is_layout:
            row = self._rows[-1]
            row.is_layout = True
            text = self._take_text()
            self._lines.append(table_line(row.cells))
            self._lines = [line for line in self._lines if line]
            row.cells.clear()
            self._text = [text] if text else []

    def _end_table_part(self, tag: str) -> None:
        if not self._rows:
            return
        if self._rows[-1].is_layout:
            self._flush_block()
        elif tag != "tr":
            self._rows[-1].cells.append(self._take_text())
        if tag == "tr":
            self._end_row(self._rows.pop())

    def _end_row(self, row: _Row) -> None:
        line = table_line(row.cells)
        if self._rows and not self._rows[-1].is_layout:
            self._text.append(f" {line} ")
        elif line:
            self._lines.append(line)


def _is_hidden(tag: str, attributes: dict[str, str]) -> bool:
    if tag in _SILENT or "hidden" in attributes:
        return True
    style = attributes.get("style")
    return style is not None and _HIDING_STYLE.search(style) is not None
