"""Writes a document's text block by block, keeping track of where pages and headings begin."""

from collections.abc import Iterable, Sequence

from corpus.chunks import Heading, PageSpan, ParsedDocument
from indexer.parsing.cleaning import clean

_BETWEEN_BLOCKS = "\n\n"
_LONGEST_TITLE = 300  # characters; a longer heading is a paragraph in a heading's style
_LONG_RECORD = 300  # characters; a longer record gets a line a field
_DEEPEST_LEVEL = 9
_EMPTY_TITLES = (
    "", "untitled", "untitled document", "document", "word document", "presentation", "title",
    "powerpoint presentation", "powerpoint-präsentation", "slide 1", "unknown", "none",
)  # fmt: skip
_SMALL_TABLE = 1_000  # characters; it fits one chunk, header and all
_NARROWEST_TABLE = 2  # columns


class TextWriter:
    """Appends blocks, parted by blank lines, to one text.

    Table rows are lines of cells parted by tabs.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[Heading] = []
        self._pages: list[tuple[int, int]] = []  # where the page begins, and its number

    def paragraph(self, text: str) -> int:
        """Append a block, whose inner line breaks stay, and return where it begins."""
        return self._append(text)

    def heading(self, level: int, title: str) -> None:
        """Append a heading; `level` 1 is the outermost."""
        start = self._append(" ".join(title.split()))
        if len(title) <= _LONGEST_TITLE:
            self.mark_heading(level, title, start)

    def mark_heading(self, level: int, title: str, start: int) -> None:
        """Say that a section of that title begins at character `start`, written already."""
        line = one_line(title)
        if line:
            self._headings.append(Heading(start, max(1, min(level, _DEEPEST_LEVEL)), line))

    def lines(self, lines: Iterable[str]) -> None:
        """Append lines as one block."""
        self._append("\n".join(lines))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Append rows as lines; cells are parted by tabs."""
        self.lines(line for row in rows if (line := table_line(row)))

    def page(self, number: int) -> None:
        """Begin page `number`; what is appended from now on stands on it."""
        self._pages.append((self._length, number))

    @property
    def length(self) -> int:
        """Return how many characters there are."""
        return self._length

    @property
    def next_start(self) -> int:
        """Return where the next block will begin."""
        return self._length + len(_BETWEEN_BLOCKS) if self._parts else 0

    def absorb(self, document: ParsedDocument, *, below: int) -> None:
        """Append another document; its headings go `below` levels deeper, its pages are dropped."""
        start = self._append(document.text)
        lead = len(document.text) - len(document.text.lstrip())
        for heading in document.headings:
            self.mark_heading(heading.level + below, heading.title, max(start, start + heading.start - lead))

    def finish(self, media_type: str, title: str | None = None) -> ParsedDocument:
        """Return the document."""
        text = "".join(self._parts)
        headings = tuple(sorted(self._headings, key=lambda heading: heading.start))
        starts = [start for start, _ in self._pages] + [len(text)]
        pages = tuple(
            PageSpan(start, end, number)
            for (start, number), end in zip(self._pages, starts[1:], strict=True)
            if start < end
        )
        return ParsedDocument(text, media_type, clean_title(title), pages, headings)

    @property
    def first_heading(self) -> str | None:
        """Return what stands in for a missing title."""
        return self._headings[0].title if self._headings else None

    def _append(self, text: str) -> int:
        """Append a block and return where it begins."""
        text = clean(text).strip()
        if not text:
            return self._length
        if self._parts:
            self._push(_BETWEEN_BLOCKS)
        start = self._length
        self._push(text)
        return start

    def _push(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)


def one_line(title: str) -> str:
    """Return a heading's text on one line and of bearable length."""
    return " ".join(clean(title).split())[:_LONGEST_TITLE]


def clean_title(title: str | None) -> str | None:
    """Return a document's title on one line; None for names that a program gave by itself."""
    line = one_line(title or "")
    return None if line.lower() in _EMPTY_TITLES else line


def table_line(cells: Sequence[str]) -> str:
    """Return a row as one line; empty if all cells are."""
    return "\t".join(" ".join(cell.split()) for cell in cells).rstrip()


def record_text(header: Sequence[str], cells: Sequence[str]) -> str:
    """Return a row that can be read alone: ``header: value`` for each cell that has one."""
    fields = []
    for index, cell in enumerate(cells):
        value = " ".join(cell.split())
        name = " ".join(header[index].split()) if index < len(header) else ""
        if value:
            fields.append(f"{name}: {value}" if name else value)
    line = "; ".join(fields)
    return line if len(line) <= _LONG_RECORD else "\n".join(fields)


def write_records(writer: TextWriter, rows: Sequence[Sequence[str]]) -> None:
    """Append each row but the first as a record of its own; the first row names the fields."""
    header, *records = rows
    if not records:
        writer.table(rows)
    for record in records:
        writer.paragraph(record_text(header, record))


def write_sheet(writer: TextWriter, rows: Sequence[Sequence[str]]) -> None:
    """Append a sheet: as it stands if it is small, else its rows as records.

    Lines of one cell before the first real row are captions.
    """
    if sum(len(cell) + 1 for row in rows for cell in row) <= _SMALL_TABLE:
        writer.table(rows)
        return
    first = next((at for at, row in enumerate(rows) if _filled(row) >= _NARROWEST_TABLE), 0)
    writer.table(rows[:first])
    write_records(writer, rows[first:])


def _filled(row: Sequence[str]) -> int:
    return sum(1 for cell in row if cell.strip())
