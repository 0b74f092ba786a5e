"""PDF: the text layer page by page (PDFium); bookmarks as headings."""

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

import pypdf
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c

from corpus.chunks import ParsedDocument
from corpus.errors import DamagedDocument, EncryptedDocument, NoTextFound
from indexer.parsing.cleaning import clean
from indexer.parsing.writing import TextWriter

_HYPHENS = re.compile("[\x02\ufffe]\r?\n?")  # PDFium's mark for a word broken at the line's end
_SENTENCE_END = (".", "!", "?", ":", "。")
_SHORT_LINE = 0.85  # of the page's longest; a sentence that ends there ends its paragraph
_ANGLE_SAMPLE = 50  # characters
_UPRIGHT = 0.1  # radians
_MOST_BOOKMARKS = 5_000
_MOST_TITLE_WORDS = 30
_TAIL = 100  # bytes
# A content stream is operands, then their operator; one that ends in a name or an opening bracket
# was cut off.
_CUT_OFF = re.compile(rb"(?:/[^\s/\[\]<>()]*|\[|<<)\s*\Z")


class _Bookmark(NamedTuple):
    level: int
    title: str


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read all pages.

    Raises:
        EncryptedDocument: no password but the empty one is tried.
        NoTextFound: no page has a text layer.
        DamagedDocument: it can not be opened, or a page's content breaks off.
    """
    document = _open(data)
    writer = TextWriter()
    bookmarks = _bookmarks(document)
    for number, text in enumerate(_page_texts(document)):
        writer.page(number + 1)
        start = writer.paragraph(text)
        _mark_headings(writer, bookmarks.get(number, ()), text, start)
    if not writer.length:
        raise NoTextFound(
            f"None of its {len(document)} pages has text, only pictures; run text recognition (OCR) over it."
        )
    _refuse_cut_off_pages(data)
    return writer.finish(media_type, document.get_metadata_value("Title"))


def _open(data: bytes) -> pdfium.PdfDocument:
    try:
        return pdfium.PdfDocument(data)
    except pdfium.PdfiumError as error:
        if error.err_code == pdfium_c.FPDF_ERR_PASSWORD:
            return pdfium.PdfDocument(_decrypted(data))
        raise DamagedDocument(f"The PDF can not be opened: {error}") from error


def _decrypted(data: bytes) -> bytes:
    """Decrypt a file whose owner password is empty, which PDFium does not try."""
    reader = pypdf.PdfReader(io.BytesIO(data))
    if not reader.decrypt(""):
        raise EncryptedDocument("The PDF needs a password; save it without one.")
    decrypted = io.BytesIO()
    pypdf.PdfWriter(clone_from=reader).write(decrypted)
    return decrypted.getvalue()


def _page_texts(document: pdfium.PdfDocument) -> Iterator[str]:
    for page in document:
        if page.get_rotation() and _is_upright(page):
            # PDFium orders lines as the turned page shows them; upright text is read unturned.
            page.set_rotation(0)
        yield _with_paragraphs(clean(_HYPHENS.sub("-\n", _text(page))))
        page.close()


def _text(page: pdfium.PdfPage) -> str:
    text_page = page.get_textpage()
    text: str = text_page.get_text_range()
    text_page.close()
    return text


def _is_upright(page: pdfium.PdfPage) -> bool:
    """Whether most of the first characters stand upright on the unturned page."""
    text_page = page.get_textpage()
    sample = range(min(text_page.count_chars(), _ANGLE_SAMPLE))
    angles = [pdfium_c.FPDFText_GetCharAngle(text_page, index) for index in sample]
    text_page.close()
    return 2 * sum(1 for angle in angles if abs(angle) < _UPRIGHT) > len(angles)


def _with_paragraphs(text: str) -> str:
    """Put a blank line after lines that end a sentence well before the right margin."""
    lines = [line.rstrip() for line in text.split("\n")]
    margin = _SHORT_LINE * max(map(len, lines))
    return "\n".join(
        line + "\n" if line.endswith(_SENTENCE_END) and len(line) < margin else line for line in lines
    )


def _bookmarks(document: pdfium.PdfDocument) -> dict[int, list[_Bookmark]]:
    """Return the outline's entries by the page, from 0, that they lead to."""
    found: dict[int, list[_Bookmark]] = {}
    for entry in islice(document.get_toc(), _MOST_BOOKMARKS):
        target = entry.get_dest()
        page = target.get_index() if target else None
        if page is not None:
            found.setdefault(page, []).append(_Bookmark(entry.level + 1, entry.get_title()))
    return found


def _mark_headings(writer: TextWriter, marks: Sequence[_Bookmark], page_text: str, start: int) -> None:
    """Mark the lines of the page that begin with a bookmark's title, each line once."""
    text = page_text.strip()
    searched = 0
    for mark in marks:
        words = mark.title.split()[:_MOST_TITLE_WORDS]
        title = re.compile(
            r"^[\W\d]{0,12}" + r"\s+".join(map(re.escape, words)), re.IGNORECASE | re.MULTILINE
        )
        found = title.search(text, searched) if words else None
        if found:
            line_start = found.start() + len(found[0]) - len(found[0].lstrip())
            writer.mark_heading(mark.level, " ".join(words), start + line_start)
            searched = found.end()


def _refuse_cut_off_pages(data: bytes) -> None:
    """PDFium shows what it can of a page that breaks off; half a document must not pass for a whole."""
    for number, content in enumerate(_contents(data), start=1):
        if _CUT_OFF.search(content[-_TAIL:]):
            raise DamagedDocument(f"Page {number} of the PDF breaks off in the middle; its end is missing.")


def _contents(data: bytes) -> Iterator[bytes]:
    """Yield each page's instructions, as far as a second library makes them out."""
    with suppress(Exception):  # whatever it stumbles over, PDFium has read the file
        reader = pypdf.PdfReader(io.BytesIO(data))
        if reader.is_encrypted:
            reader.decrypt("")
        for page in reader.pages:
            contents = page.get_contents()
            if contents is not None:
                yield contents.get_data()
