"""Make the PDF and DOCX files of the demo corpus from their Markdown sources.

    .venv/bin/python examples/make_documents.py            # writes into examples/corpus
    .venv/bin/python examples/make_documents.py FOLDER     # writes into FOLDER

`sources/pdf/NAME.md` becomes `NAME.pdf`, `sources/docx/NAME.md` becomes `NAME.docx`. The same sources
and library versions give the same bytes. Of Markdown it reads what the sources use: headings,
paragraphs, lists and tables, without marks inside a line.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import docx
import reportlab
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

HERE = Path(__file__).parent
FIXED_TIME = datetime(2026, 9, 1, tzinfo=UTC)  # in place of the present, which would change the bytes

BODY = ParagraphStyle("body", fontName="Vera", fontSize=10, leading=15, spaceAfter=8, allowSplitting=0)
ITEM = ParagraphStyle("item", parent=BODY, leftIndent=16, bulletIndent=2, spaceAfter=4)
CELL = ParagraphStyle("cell", parent=BODY, fontSize=9, leading=12, spaceAfter=0)
HEADINGS = {
    1: ParagraphStyle("h1", fontName="Vera-Bold", fontSize=20, leading=26, spaceAfter=14),
    2: ParagraphStyle("h2", fontName="Vera-Bold", fontSize=14, leading=20, spaceBefore=10, spaceAfter=6),
    3: ParagraphStyle("h3", fontName="Vera-Bold", fontSize=11, leading=16, spaceBefore=6, spaceAfter=4),
}
for heading_style in HEADINGS.values():
    heading_style.keepWithNext = 1


@dataclass(frozen=True, slots=True)
class Title:
    """A heading; `level` 1 is the document's own."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list, with numbers or with bullets."""

    texts: tuple[str, ...]
    numbered: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the first row is its header."""

    rows: tuple[tuple[str, ...], ...]


Block = Title | Prose | Items | Grid


def read_blocks(markdown: str) -> list[Block]:
    """Read a source into its blocks.

    Raises:
        ValueError: the source uses something that this script does not read.
    """
    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return [_block(node) for node in SyntaxTreeNode(tokens).children]


def _block(node: SyntaxTreeNode) -> Block:
    match node.type:
        case "heading":
            return Title(int(node.tag[1]), _text(node))
        case "paragraph":
            return Prose(_text(node))
        case "bullet_list" | "ordered_list":
            return Items(tuple(_text(item) for item in node.children), node.type == "ordered_list")
        case "table":
            rows = [row for part in node.children for row in part.children]
            return Grid(tuple(tuple(_text(cell) for cell in row.children) for row in rows))
        case _:
            raise ValueError(f"a source may not use {node.type}")


def _text(node: SyntaxTreeNode) -> str:
    """Return the words below `node`, line breaks of the source as spaces."""
    return " ".join(" ".join(part.content.split()) for part in node.walk() if part.type == "inline")


class Pdf(SimpleDocTemplate):
    """A PDF whose headings are also its outline."""

    def afterFlowable(self, flowable: Flowable) -> None:  # noqa: N802 - reportlab's name
        """Add a heading that was just set to the outline."""
        levels = {style.name: level for level, style in HEADINGS.items()}
        if isinstance(flowable, Paragraph) and flowable.style.name in levels:
            key = f"heading-{self.canv.getPageNumber()}-{flowable.getPlainText()}"
            self.canv.bookmarkPage(key)
            self.canv.addOutlineEntry(flowable.getPlainText(), key, levels[flowable.style.name] - 1)


def write_pdf(blocks: list[Block], path: Path) -> None:
    """Set the blocks on A4 pages; paragraphs are never split between two pages."""
    fonts = Path(reportlab.__file__).parent / "fonts"
    pdfmetrics.registerFont(TTFont("Vera", fonts / "Vera.ttf"))
    pdfmetrics.registerFont(TTFont("Vera-Bold", fonts / "VeraBd.ttf"))
    margins = dict.fromkeys(("leftMargin", "rightMargin", "topMargin", "bottomMargin"), 2.5 * cm)
    document = Pdf(
        str(path), pagesize=A4, title=_title(blocks), author="Vostrel Station", invariant=1, **margins
    )
    document.build([flowable for block in blocks for flowable in _flowables(block)])


def _flowables(block: Block) -> list[Flowable]:
    match block:
        case Title(level, text):
            return [Paragraph(escape(text), HEADINGS[level])]
        case Prose(text):
            return [Paragraph(escape(text), BODY)]
        case Items(texts, numbered):
            marks = [f"{n}." if numbered else "\N{BULLET}" for n in range(1, len(texts) + 1)]
            return [
                Paragraph(escape(text), ITEM, bulletText=mark)
                for text, mark in zip(texts, marks, strict=True)
            ]
        case Grid(rows):
            cells = [[Paragraph(escape(cell), CELL) for cell in row] for row in rows]
            return [Table(cells, style=[("GRID", (0, 0), (-1, -1), 0.5, colors.grey)]), Spacer(1, 10)]


def write_docx(blocks: list[Block], path: Path) -> None:
    """Write the blocks with Word's own styles for headings, lists and tables."""
    document = docx.Document()
    for block in blocks:
        match block:
            case Title(level, text):
                document.add_heading(text, level)
            case Prose(text):
                document.add_paragraph(text)
            case Items(texts, numbered):
                for text in texts:
                    document.add_paragraph(text, "List Number" if numbered else "List Bullet")
            case Grid(rows):
                _add_table(document, rows)
    properties = document.core_properties
    properties.title, properties.author = _title(blocks), "Vostrel Station"
    properties.created = properties.modified = FIXED_TIME
    buffer = BytesIO()
    document.save(buffer)
    _rewrite_zip(buffer, path)


def _add_table(document: "docx.document.Document", rows: tuple[tuple[str, ...], ...]) -> None:
    table = document.add_table(len(rows), len(rows[0]), "Table Grid")
    for cells, row in zip(rows, table.rows, strict=True):
        for text, cell in zip(cells, row.cells, strict=True):
            cell.text = text


def _rewrite_zip(archive: BytesIO, path: Path) -> None:
    """Copy the archive with one fixed time on every member."""
    with ZipFile(archive) as source, ZipFile(path, "w") as target:
        for name in source.namelist():
            member = ZipInfo(name, FIXED_TIME.timetuple()[:6])
            target.writestr(member, source.read(name), ZIP_DEFLATED)


def _title(blocks: list[Block]) -> str:
    return next(block.text for block in blocks if isinstance(block, Title))


WRITERS: dict[str, Callable[[list[Block], Path], None]] = {"pdf": write_pdf, "docx": write_docx}


def make_documents(folder: Path) -> list[Path]:
    """Make every document in `folder`; return their paths."""
    made = []
    for ending, write in WRITERS.items():
        for source in sorted((HERE / "sources" / ending).glob("*.md")):
            path = folder / f"{source.stem}.{ending}"
            write(read_blocks(source.read_text(encoding="utf-8")), path)
            made.append(path)
    return made


if __name__ == "__main__":
    make_documents(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus")
