"""Documents made in code, one function a format."""

import io
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import docx
import pptx
import pypdf
import xlsxwriter
from pptx.util import Inches
from reportlab.pdfgen.canvas import Canvas

SECTOR = 512
END_OF_CHAIN = 0xFFFFFFFE
FREE = 0xFFFFFFFF
FAT_SECTOR = 0xFFFFFFFD


def pdf_of(pages: Sequence[Sequence[str]], *, title: str = "", bookmarks: Sequence[str] = ()) -> bytes:
    """Return a PDF with the lines of each page; a bookmark leads to each page that has one."""
    target = io.BytesIO()
    canvas = Canvas(target, pageCompression=0)
    canvas.setTitle(title)
    for number, lines in enumerate(pages):
        if number < len(bookmarks):
            canvas.bookmarkPage(str(number))
            canvas.addOutlineEntry(bookmarks[number], str(number), level=0)
        for row, line in enumerate(lines):
            canvas.drawString(72, 720 - 16 * row, line)
        canvas.showPage()
    canvas.save()
    return target.getvalue()


def encrypted_pdf(user_password: str, owner_password: str) -> bytes:
    """Return a PDF that opens with either password."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf_of([["A secret line."]])))
    writer.encrypt(user_password, owner_password, algorithm="AES-256")
    target = io.BytesIO()
    writer.write(target)
    return target.getvalue()


def docx_of(build: Callable[[docx.document.Document], object], *, title: str = "") -> bytes:
    """Return a DOCX that `build` filled."""
    document = docx.Document()
    document.core_properties.title = title
    build(document)
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


def pptx_of(slides: Sequence[tuple[str, str, str]]) -> bytes:
    """Return a PPTX of slides: title, body, speaker notes."""
    deck = pptx.Presentation()
    for title, body, notes in slides:
        slide = deck.slides.add_slide(deck.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = body
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return saved(deck)


def pptx_with_table(rows: Sequence[Sequence[str]]) -> bytes:
    """Return a PPTX whose one slide has a table inside no placeholder, and a group with a text."""
    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    frame = slide.shapes.add_table(len(rows), len(rows[0]), 0, 0, Inches(4), Inches(2))
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            frame.table.cell(row, column).text = cell
    group = slide.shapes.add_group_shape()
    group.shapes.add_textbox(0, 0, Inches(1), Inches(1)).text_frame.text = "grouped"
    return saved(deck)


def saved(deck: "pptx.presentation.Presentation") -> bytes:
    """Return the deck's bytes."""
    target = io.BytesIO()
    deck.save(target)
    return target.getvalue()


def xlsx_of(sheets: Mapping[str, Sequence[Sequence[object]]]) -> bytes:
    """Return an XLSX with these sheets."""
    target = io.BytesIO()
    with xlsxwriter.Workbook(target) as workbook:
        date_format = workbook.add_format({"num_format": "yyyy-mm-dd"})
        workbook.default_date_format = date_format
        for name, rows in sheets.items():
            sheet = workbook.add_worksheet(name)
            for at, row in enumerate(rows):
                sheet.write_row(at, 0, row)
    return target.getvalue()


def zip_of(parts: Mapping[str, str] | Mapping[str, bytes] | Mapping[str, str | bytes]) -> bytes:
    """Return a ZIP archive of these parts, in this order."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return target.getvalue()


def parts_of(archive: bytes) -> dict[str, bytes]:
    """Return an archive's parts."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def odt_of(body: str, *, kind: str = "text", encrypted: bool = False) -> bytes:
    """Return an OpenDocument file with this content inside its body element."""
    namespaces = " ".join(
        f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for prefix, name in [("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing")]
    )
    content = (
        f"<office:document-content {namespaces}><office:body>{body}</office:body></office:document-content>"
    )
    secret = "<m:file-entry><m:encryption-data/></m:file-entry>" if encrypted else ""
    manifest = (
        f'<m:manifest xmlns:m="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">{secret}</m:manifest>'
    )
    return zip_of(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": content,
            "META-INF/manifest.xml": manifest,
        }
    )


def damaged_odt() -> bytes:
    """Return an ODT whose first part, with its media type, can not be unpacked."""
    name = "mimetype"
    data = bytearray(zip_of({name: "application/vnd.oasis.opendocument.text" * 50}))
    start = 30 + len(name)  # behind its header (APPNOTE.TXT, section 4.3.7)
    data[start : start + 4] = b"\xff" * 4
    return bytes(data)


def epub_of(chapters: Sequence[str], *, title: str, protected: bool = False) -> bytes:
    """Return an EPUB with these chapters, stored out of reading order."""
    items = "".join(f'<item id="c{at}" href="text/c%20{at}.xhtml"/>' for at in range(len(chapters)))
    spine = "".join(f'<itemref idref="c{at}"/>' for at in range(len(chapters)))
    parts = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container><rootfile full-path="OEBPS/a.opf"/></container>',
        "OEBPS/a.opf": '<package xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        f"<dc:title>{title}</dc:title></metadata><manifest>{items}</manifest><spine>{spine}</spine></package>",
    }
    for at in reversed(range(len(chapters))):
        parts[f"OEBPS/text/c {at}.xhtml"] = f"<html><body>{chapters[at]}</body></html>"
    if protected:
        parts["META-INF/encryption.xml"] = (
            '<encryption><CipherReference URI="OEBPS/text/c%200.xhtml"/></encryption>'
        )
    return zip_of(parts)


def msg_of(properties: Mapping[str, bytes], attachments: Sequence[Mapping[str, bytes]] = ()) -> bytes:
    """Return an Outlook message: an OLE file with a stream a property, a storage an attachment.

    The layout is that of [MS-CFB]: a header, one sector of the allocation table, directory, streams.
    Streams are filled up to 4096 bytes with zeros, so that none belongs to the mini stream.
    """
    entries: list[_Entry] = [_Entry("Root Entry", 5)]
    top = [_Entry(f"__substg1.0_{key}", 2, value.ljust(4096, b"\0")) for key, value in properties.items()]
    entries += top
    for at, attachment in enumerate(attachments):
        storage = _Entry(f"__attach_version1.0_#{at:08X}", 1)
        inner = [
            _Entry(f"__substg1.0_{key}", 2, value.ljust(4096, b"\0")) for key, value in attachment.items()
        ]
        entries += [storage, *inner]
        top.append(storage)
        _chain(storage, inner, entries)
    _chain(entries[0], top, entries)
    return _ole_file(entries)


class _Entry:
    """One directory entry."""

    def __init__(self, name: str, kind: int, content: bytes = b"") -> None:
        self.name, self.kind, self.content = name, kind, content
        self.child = self.right = FREE
        self.first_sector = END_OF_CHAIN

    def packed(self) -> bytes:
        name = self.name.encode("utf-16-le") + b"\0\0"
        head = struct.pack("<64sHBBIII", name, len(name), self.kind, 1, FREE, self.right, self.child)
        return head + bytes(36) + struct.pack("<IQ", self.first_sector, len(self.content))


def _chain(parent: _Entry, children: list[_Entry], entries: list[_Entry]) -> None:
    """Make the children a tree that is a list: each the right sibling of the one before."""
    ordered = sorted(children, key=lambda entry: (len(entry.name), entry.name.upper()))
    parent.child = entries.index(ordered[0])
    for before, after in pairwise(ordered):
        before.right = entries.index(after)


def _ole_file(entries: list[_Entry]) -> bytes:
    directory_sectors = -(-len(entries) // 4)
    table = [FAT_SECTOR, *range(2, directory_sectors + 1), END_OF_CHAIN]
    body = b""
    for entry in entries:
        if entry.content:
            count = len(entry.content) // SECTOR + (len(entry.content) % SECTOR > 0)
            entry.first_sector = len(table)
            table += [*range(len(table) + 1, len(table) + count), END_OF_CHAIN]
            body += entry.content.ljust(count * SECTOR, b"\0")
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, b"",
        0, 1, 1, 0, 4096, END_OF_CHAIN, 0, END_OF_CHAIN, 0,
    ) + struct.pack("<109I", 0, *[FREE] * 108)  # fmt: skip
    sectors = struct.pack("<128I", *table, *[FREE] * (128 - len(table)))
    directory = b"".join(entry.packed() for entry in entries).ljust(directory_sectors * SECTOR, b"\0")
    return header + sectors + directory + body
