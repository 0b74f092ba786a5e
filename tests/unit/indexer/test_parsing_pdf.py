"""How PDF is read."""

import pytest

from corpus.chunks import Heading
from corpus.errors import DamagedDocument, EncryptedDocument, NoTextFound
from indexer.parsing import parse_document
from tests.unit.indexer import made

PAGES = [["First page.", "It goes on here"], [], ["Third page"]]


def test_pages_are_spans_of_the_text() -> None:
    """Each page that has text is a span with its number."""
    document = parse_document(made.pdf_of(PAGES, title="A report"), filename=None)
    assert [(page.number, document.text[page.start : page.end].strip()) for page in document.pages] == [
        (1, "First page.\n\nIt goes on here"),
        (3, "Third page"),
    ]
    assert document.title == "A report"


def test_bookmarks_are_headings() -> None:
    """A bookmark is a heading where its title stands on its page, and nowhere else."""
    data = made.pdf_of([["1 Fuel", "Diesel"], ["Food", "Rice"]], bookmarks=["Fuel", "Water"])
    document = parse_document(data, filename=None)
    assert document.headings == (Heading(0, 1, "Fuel"),)


def test_pages_without_text() -> None:
    """A scan has pages and no text, and is told from an empty file."""
    with pytest.raises(NoTextFound, match="2 pages"):
        parse_document(made.pdf_of([[], []]), filename=None)


def test_password_is_needed() -> None:
    """What only a password opens is refused for that."""
    with pytest.raises(EncryptedDocument, match="password"):
        parse_document(made.encrypted_pdf("secret", "owner"), filename=None)


def test_owner_password_alone_locks_nothing() -> None:
    """What opens without a password is read, though changing it needs one."""
    assert parse_document(made.encrypted_pdf("", "owner"), filename=None).text == "A secret line."


def test_cut_off_file() -> None:
    """Half a PDF is damaged."""
    data = made.pdf_of([["text"]])
    with pytest.raises(DamagedDocument):
        parse_document(data[:100], filename=None)


def test_cut_off_page() -> None:
    """A page whose instructions end in the middle of one is not passed off as whole."""
    data = made.pdf_of([["The first line", "The second line"]])
    at = data.index(b"(The second line) Tj")
    with pytest.raises(DamagedDocument, match="Page 1 of the PDF breaks off"):
        parse_document(
            data[:at] + b"/".ljust(data.index(b"endstream", at) - at) + data[data.index(b"endstream", at) :],
            filename=None,
        )
