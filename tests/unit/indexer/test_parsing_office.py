"""How office documents and books are read."""

from datetime import date

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from corpus.chunks import Heading, PageSpan
from corpus.errors import EmptyDocument, EncryptedDocument, NoTextFound
from indexer.parsing import media_types, parse_document
from tests.unit.indexer import made


def test_docx_is_read_in_order() -> None:
    """Headings, paragraphs, lists and tables come as they stand."""

    def build(document: docx.document.Document) -> None:
        document.add_heading("Station", level=1)
        document.add_paragraph("It is cold.")
        document.add_heading("Fuel", level=2)
        document.add_paragraph("Diesel", style="List Bullet")
        document.add_paragraph("Petrol", style="List Bullet")
        table = document.add_table(rows=2, cols=2)
        for cell, text in zip(table._cells, ["Name", "Price", "Pump", "30"], strict=True):
            cell.text = text
        document.add_paragraph("The end.")

    document = parse_document(made.docx_of(build, title="Handbook"), filename=None)
    assert document.text == (
        "Station\n\nIt is cold.\n\nFuel\n\n- Diesel\n- Petrol\n\nName\tPrice\nPump\t30\n\nThe end."
    )
    assert document.title == "Handbook"
    assert document.media_type == media_types.DOCX
    assert document.headings == (Heading(0, 1, "Station"), Heading(22, 2, "Fuel"))


def test_docx_merged_cells_stand_in_each_row() -> None:
    """A cell merged over two rows labels both."""

    def build(document: docx.document.Document) -> None:
        table = document.add_table(rows=2, cols=2)
        table.cell(0, 0).merge(table.cell(1, 0)).text = "Pump"
        table.cell(0, 1).text, table.cell(1, 1).text = "30", "40"

    assert parse_document(made.docx_of(build), filename=None).text == "Pump\t30\nPump\t40"


def test_docx_shows_insertions_and_no_deletions() -> None:
    """Of tracked changes the new text is read; content controls and text boxes are, too."""

    def build(document: docx.document.Document) -> None:
        document.element.body.insert(
            0,
            parse_xml(
                f"<w:sdt {nsdecls('w')}><w:sdtContent><w:p><w:r><w:t>kept</w:t></w:r>"
                "<w:ins><w:r><w:t> new</w:t></w:r></w:ins>"
                "<w:del><w:r><w:delText> old</w:delText></w:r></w:del>"
                "<w:r><w:pict><w:txbxContent><w:p><w:r><w:t>boxed</w:t></w:r></w:p>"
                "</w:txbxContent></w:pict></w:r>"
                "</w:p></w:sdtContent></w:sdt>"
            ),
        )

    assert parse_document(made.docx_of(build), filename=None).text == "kept new\n\nboxed"


def test_docx_title_of_the_program_is_none() -> None:
    """A title that Word made up is no title; the first heading is."""
    data = made.docx_of(lambda document: document.add_heading("Fuel", level=1), title="Word Document")
    assert parse_document(data, filename=None).title == "Fuel"


def test_pptx_slides_are_pages() -> None:
    """A slide is a page under its title; notes are read."""
    data = made.pptx_of([("Fuel", "14 litres\nan hour", "Say it slowly."), ("Food", "Rice", "")])
    document = parse_document(data, filename=None)
    assert document.text == "Fuel\n\n14 litres\nan hour\n\nSay it slowly.\n\nFood\n\nRice"
    assert [page.number for page in document.pages] == [1, 2]
    second = document.text.index("Food")
    assert document.pages[1].start <= second < document.pages[1].end
    assert document.headings == (Heading(0, 1, "Fuel"), Heading(second, 1, "Food"))
    assert document.title == "Fuel"


def test_pptx_tables_and_groups() -> None:
    """Tables are rows; texts inside groups are found."""
    data = made.pptx_with_table([["a", "b"], ["1", "2"]])
    assert parse_document(data, filename=None).text == "a\tb\n1\t2\n\ngrouped"


def test_pptx_without_text() -> None:
    """Slides without text are pictures; no slides at all are nothing."""
    with pytest.raises(NoTextFound, match="1 slides"):
        parse_document(made.pptx_of([("", "", "")]), filename=None)
    with pytest.raises(EmptyDocument):
        parse_document(made.pptx_of([]), filename=None)


def test_small_sheet_is_read_as_it_stands() -> None:
    """A sheet that fits one chunk is its rows; whole numbers have no point, dates no time."""
    data = made.xlsx_of(
        {"Pumps": [["Name", "Price"], ["A", 30.0], ["B", 2.5], ["C", date(2024, 5, 1)]], "Empty": []}
    )
    document = parse_document(data, filename=None)
    assert document.text == "Pumps\n\nName\tPrice\nA\t30\nB\t2.5\nC\t2024-05-01"
    assert document.headings == (Heading(0, 1, "Pumps"),)


def test_row_of_a_large_sheet_is_a_record() -> None:
    """Where the header would be far away, each row carries it; captions above stay."""
    rows = [["All pumps"], ["Name", "Price"], *[[f"Pump {number}", number] for number in range(100)]]
    blocks = parse_document(made.xlsx_of({"Pumps": rows}), filename=None).text.split("\n\n")
    assert blocks[:3] == ["Pumps", "All pumps", "Name: Pump 0; Price: 0"]
    assert len(blocks) == 102


def test_empty_workbook() -> None:
    """A workbook without values is empty, whatever its sheets are called."""
    with pytest.raises(EmptyDocument):
        parse_document(made.xlsx_of({"Pumps": []}), filename=None)


def test_odt_is_read_in_order() -> None:
    """Headings, paragraphs, lists and tables of OpenDocument texts."""
    body = (
        "<office:text><text:h text:outline-level='2'>Fuel</text:h>"
        "<text:p>It<text:s/>is <text:span>cold</text:span>.<text:line-break/>Very.</text:p>"
        "<text:list><text:list-item><text:p>one</text:p><text:list><text:list-item><text:p>two</text:p>"
        "</text:list-item></text:list></text:list-item></text:list>"
        "<table:table><table:table-row><table:table-cell><text:p>a</text:p></table:table-cell>"
        "<table:table-cell><text:p>b</text:p></table:table-cell></table:table-row></table:table></office:text>"
    )
    document = parse_document(made.odt_of(body), filename=None)
    assert document.text == "Fuel\n\nIt is cold.\nVery.\n\n- one\n  - two\n\na\tb"
    assert document.headings == (Heading(0, 2, "Fuel"),)


def test_odp_slides_are_pages() -> None:
    """A slide of an OpenDocument presentation is a page."""
    page = (
        "<draw:page><draw:frame><draw:text-box><text:p>{}</text:p></draw:text-box></draw:frame></draw:page>"
    )
    body = f"<office:presentation>{page.format('one')}{page.format('two')}</office:presentation>"
    document = parse_document(made.odt_of(body, kind="presentation"), filename=None)
    assert document.text == "one\n\ntwo"
    assert document.pages == (PageSpan(0, 3, 1), PageSpan(3, 8, 2))


def test_encrypted_odt() -> None:
    """An OpenDocument file that needs a password says so."""
    with pytest.raises(EncryptedDocument):
        parse_document(made.odt_of("<office:text/>", encrypted=True), filename=None)


def test_epub_chapters_come_in_reading_order() -> None:
    """The spine's order counts, not the archive's."""
    data = made.epub_of(["<h1>One</h1><p>first</p>", "<h1>Two</h1><p>second</p>"], title="A book")
    document = parse_document(data, filename=None)
    assert document.text == "One\n\nfirst\n\nTwo\n\nsecond"
    assert document.title == "A book"
    assert [heading.title for heading in document.headings] == ["One", "Two"]


def test_protected_epub() -> None:
    """A book under copy protection is refused for that."""
    with pytest.raises(EncryptedDocument, match="copy-protected"):
        parse_document(made.epub_of(["<p>x</p>"], title="A book", protected=True), filename=None)
