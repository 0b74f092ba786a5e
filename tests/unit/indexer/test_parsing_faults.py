"""What becomes of files that can not be read: each says why."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import (
    DamagedDocument,
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    UnsafeDocument,
    UnsupportedMediaType,
)
from indexer.parsing import parse_document, refuse_unread
from tests.unit.indexer import made

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
DOCX = made.docx_of(lambda document: document.add_paragraph("text"))


@pytest.mark.parametrize(
    "data", [b"", b" \n\t ", "\u3000\u200b\ufeff".encode(), b"<html><body> </body></html>"]
)
def test_nothing_to_read(data: bytes) -> None:
    """No bytes, white space and empty pages are empty documents."""
    with pytest.raises(EmptyDocument):
        parse_document(data, filename="a.txt")


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"\x89PNG\r\n\x1a\n\0", "Images"),
        (b"\x7fELF" + bytes(100), "application/x-executable"),
        (bytes(range(256)) * 8, "octet-stream"),
        (OLE + "WordDocument".encode("utf-16-le"), r"save it as \.docx"),
        (made.zip_of({"../../etc/passwd": "x"}), "rag ingest"),
        (b"\x1f\x8b\x08\0", "rag ingest"),
    ],
)
def test_formats_that_are_not_read(data: bytes, advice: str) -> None:
    """Pictures, programs, old formats and archives are refused with what to do instead."""
    with pytest.raises(UnsupportedMediaType, match=advice):
        parse_document(data, filename="a.txt")
    if not data.startswith((b"PK", OLE[:8])):  # these tell it further inside
        with pytest.raises(UnsupportedMediaType, match=advice):
            refuse_unread(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain words",
        "Wörter in UTF-16".encode("utf-16-le"),
        "Wörter in UTF-16, mit Zeichen davor".encode("utf-16"),
        "Wort".encode("utf-32-le") * 3000,
        ("é" * 9000).encode()[:8191],
        ("Ä" * 9000).encode("cp1252")[:8192],
        "漢字".encode("gbk") * 3000,
        b"junk before" + b"\0" * 20 + b"%PDF-1.7",
        DOCX,
        OLE,
    ],
)
def test_first_bytes_refuse_nothing_that_may_be_read(data: bytes) -> None:
    """Texts in any encoding, cut off anywhere, and containers are looked at as a whole, later."""
    refuse_unread(data[:8192])


def test_container_whose_type_can_not_be_read() -> None:
    """A ZIP container of which the first part is damaged is refused like any other that is not known."""
    with pytest.raises(DocumentError):
        parse_document(made.damaged_odt(), filename="a.odt")


def test_given_type_does_not_make_a_file_readable() -> None:
    """Bytes that are no text are refused by what they are, whatever the client says of them."""
    with pytest.raises(UnsupportedMediaType, match="octet-stream"):
        parse_document(bytes(range(256)) * 8, filename="a.txt", media_type="text/plain")


def test_encrypted_office_file() -> None:
    """Office's encrypted container says that a password is needed."""
    with pytest.raises(EncryptedDocument):
        parse_document(OLE + "EncryptedPackage".encode("utf-16-le"), filename="a.docx")


def test_encrypted_zip_part() -> None:
    """So does a container whose parts are encrypted."""
    data = bytearray(DOCX)
    at = data.rindex(b"PK\x01\x02")
    data[at + 8] |= 1
    with pytest.raises(EncryptedDocument):
        parse_document(bytes(data), filename=None)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_cut_off_docx(share: float) -> None:
    """An office file that was cut off is damaged."""
    with pytest.raises(DamagedDocument):
        parse_document(DOCX[: int(len(DOCX) * share)], filename="a.docx")


@pytest.mark.parametrize(
    "parts",
    [
        {"[Content_Types].xml": "<a/>", "word/document.xml": "not xml"},
        {"mimetype": "application/epub+zip", "META-INF/container.xml": "<container/>"},
        {"mimetype": "application/vnd.oasis.opendocument.text"},
        {"xl/workbook.xml": "<workbook/>"},
        {"ppt/presentation.xml": ""},
    ],
)
def test_containers_of_nonsense(parts: dict[str, str]) -> None:
    """A container whose parts are missing or wrong is damaged or empty, nothing worse."""
    with pytest.raises((DamagedDocument, EmptyDocument)):
        parse_document(made.zip_of(parts), filename=None)


def test_container_that_expands_without_measure() -> None:
    """A small file of a large part is refused unread."""
    bomb = made.zip_of({"[Content_Types].xml": "<a/>", "word/document.xml": b"a" * 70_000_000})
    assert len(bomb) < 200_000
    with pytest.raises(UnsafeDocument, match="expand"):
        parse_document(bomb, filename="a.docx")


def test_container_that_lies_about_its_size() -> None:
    """A part that is larger than the directory says does not get through either."""
    data = bytearray(made.zip_of({"word/document.xml": b"<a>" + b"b" * 100_000 + b"</a>"}))
    at = data.rindex(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, 50)
    with pytest.raises(DamagedDocument):
        parse_document(bytes(data), filename="a.docx")


BOMB = "".join(f'<!ENTITY a{at} "{f"&a{at - 1};" * 10 if at else "ha"}">' for at in range(12))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(encoding: str, tmp_path: Path) -> None:
    """Entities that expand without end or read files are not expanded, in whatever encoding."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret words")
    for declaration, use in [(BOMB, "&a11;"), (f'<!ENTITY x SYSTEM "{secret.as_uri()}">', "&x;")]:
        data = f'<?xml version="1.0"?><!DOCTYPE r [{declaration}]><r>{use}</r>'.encode(encoding)
        with pytest.raises(UnsafeDocument, match="entities"):
            parse_document(data, filename="a.xml")


def test_entities_inside_office_files_are_not_expanded(tmp_path: Path) -> None:
    """A DOCX that tries to read a file shows nothing of it."""
    secret = tmp_path / "secret.txt"
    secret.write_text("secret words")
    parts = made.parts_of(DOCX)
    parts["word/document.xml"] = (
        f'<!DOCTYPE w:document [<!ENTITY x SYSTEM "{secret.as_uri()}">]>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>seen &x;</w:t></w:r></w:p></w:body></w:document>"
    ).encode()
    assert "secret" not in parse_document(made.zip_of(parts), filename=None).text


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"[" * 100_000, "a.json"),
        (b"<?xml version='1.0'?>" + b"<a>" * 100_000, "a.xml"),
        (made.odt_of("<text:section>" * 5_000 + "</text:section>" * 5_000), "a.odt"),
    ],
)
def test_nesting_without_end(data: bytes, name: str) -> None:
    """Nesting that would exhaust the stack is an error of the document."""
    with pytest.raises((UnsafeDocument, DamagedDocument)):
        parse_document(data, filename=name)


def test_xml_that_is_none() -> None:
    """Tags that do not close are damage."""
    with pytest.raises(DamagedDocument, match="well-formed"):
        parse_document(b"<?xml version='1.0'?><a><b></a>", filename=None)


MAGICS = [
    b"",
    b"%PDF-1.7\n",
    b"PK\x03\x04",
    OLE,
    b"{\\rtf1 ",
    b"<html>",
    b"<?xml version='1.0'?>",
    b"From: a\n",
    DOCX,
]
NAMES = ["a", "a.md", "a.csv", "a.rst", "a.org", "a.json", "a.eml", "a.xml", "a.html"]


@settings(deadline=None)  # the first parse of a kind loads its library
@given(
    head=st.sampled_from(MAGICS),
    body=st.one_of(st.binary(max_size=300), st.text(max_size=100).map(str.encode)),
    name=st.sampled_from(NAMES),
)
def test_any_bytes_are_read_or_refused(head: bytes, body: bytes, name: str) -> None:
    """Whatever the bytes: a document whose structure lies inside its text, or an error of the tree."""
    try:
        document = parse_document(head + body, filename=name)
    except DocumentError:
        return
    json.dumps(document.text, ensure_ascii=False).encode()
    assert all(0 <= heading.start <= len(document.text) for heading in document.headings)
    assert all(0 <= page.start < page.end <= len(document.text) for page in document.pages)
