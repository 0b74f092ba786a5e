"""How the media type of bytes is told."""

import json

import pytest

from indexer.parsing import detect_media_type, media_types
from tests.unit.indexer import made

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (made.pdf_of([["text"]]), media_types.PDF),
        (made.docx_of(lambda document: document.add_paragraph("text")), media_types.DOCX),
        (made.pptx_of([("a", "b", "")]), media_types.PPTX),
        (made.xlsx_of({"a": [["b"]]}), media_types.XLSX),
        (made.odt_of("<office:text/>"), media_types.ODT),
        (made.epub_of(["<p>a</p>"], title="b"), media_types.EPUB),
        (made.zip_of({"a.txt": "b"}), media_types.ZIP),
        (OLE + "WordDocument".encode("utf-16-le"), media_types.DOC),
        (OLE + "Workbook".encode("utf-16-le"), media_types.XLS),
        (OLE + "EncryptedPackage".encode("utf-16-le"), media_types.ENCRYPTED_OFFICE),
        (b"{\\rtf1 text}", media_types.RTF),
        (b"\x89PNG\r\n\x1a\n\0\0", "image/png"),
        (b"\xff\xd8\xff\xe0\0\0", "image/jpeg"),
        (b"\x1f\x8b\x08\0", "application/gzip"),
        (b"\0\x01\x02\x03" * 50, media_types.BINARY),
        (b"<!DOCTYPE html><p>text", media_types.HTML),
        (b"  <html><body>text", media_types.HTML),
        (b'<?xml version="1.0"?><a>b</a>', media_types.XML),
        (b'<?xml version="1.0"?><html><body>b</body></html>', media_types.HTML),
        (b"<catalog><item>b</item></catalog>", media_types.XML),
        (b'{"a": 1}', media_types.JSON),
        (b'{"a": 1}\n{"a": 2}\n', media_types.NDJSON),
        (b"From: a@b.c\nTo: d@e.f\nSubject: g\n\ntext", media_types.EML),
        (b"# Title\n\n- item\n- item\n", media_types.MARKDOWN),
        (b"a\tb\tc\n1\t2\t3\n4\t5\t6\n", media_types.TSV),
        (b"a,b,c\n1,2,3\n4,5,6\n", media_types.CSV),
        (b"Yes, it is so.\nNo, it is not.\nWell, who knows.\n", media_types.TEXT),
        ("text".encode("utf-16"), media_types.TEXT),
        (b"", media_types.TEXT),
    ],
)
def test_type_is_told_from_the_content(data: bytes, expected: str) -> None:
    """Each format is recognised without a name, and under a name that lies."""
    assert detect_media_type(data, None) == expected
    assert detect_media_type(data, "photo.jpg") == expected


@pytest.mark.parametrize(
    ("filename", "expected"),
    [
        ("a.md", media_types.MARKDOWN),
        ("a.MD", media_types.MARKDOWN),
        ("a.rst", media_types.RST),
        ("a.org", media_types.ORG),
        ("a.yaml", media_types.YAML),
        ("a.csv", media_types.CSV),
        ("a.py", "text/x-python"),
        ("a.pdf", media_types.TEXT),
        ("a.docx", media_types.TEXT),
        ("a.json", media_types.TEXT),
        ("a", media_types.TEXT),
        (None, media_types.TEXT),
    ],
)
def test_name_decides_between_texts(filename: str | None, expected: str) -> None:
    """Words that could be any text are what their name says, if that is a text and they keep to it."""
    assert detect_media_type(b"some words\nand more", filename) == expected


def test_page_named_markdown_is_html() -> None:
    """A page's first line outweighs a name of another kind of text."""
    assert detect_media_type(b"<!doctype html><title>a</title>", "readme.md") == media_types.HTML


def test_markup_inside_markdown_stays_markdown() -> None:
    """Markdown may begin with a tag."""
    assert detect_media_type(b'<div align="center">\n\n# Title\n</div>', "readme.md") == media_types.MARKDOWN


def test_script_with_comments_is_not_markdown() -> None:
    """Lines of # are comments where a program says which shell runs it."""
    assert detect_media_type(b"#!/bin/sh\n# Title\n- x\n", None) == media_types.TEXT


def test_deep_json_is_json() -> None:
    """Nesting too deep to parse is still told for what it is."""
    assert detect_media_type(b"[" * 200_000, None) == media_types.JSON


def test_cut_off_office_file_keeps_its_type() -> None:
    """A DOCX without its directory is a damaged DOCX, not an archive."""
    data = made.docx_of(lambda document: document.add_paragraph("text"))
    assert detect_media_type(data[: len(data) // 2], None) == media_types.DOCX


def test_large_json_is_one_value() -> None:
    """Pretty-printed JSON over many lines is one document."""
    data = json.dumps([{"a": number} for number in range(2_000)], indent=1).encode()
    assert detect_media_type(data, None) == media_types.JSON


@pytest.mark.parametrize(
    ("data", "name", "given", "expected"),
    [
        (b"PK\x03\x04word/document.xml", "a.docx", "application/octet-stream", media_types.DOCX),
        (b"# Title\n\nwords", "a.md", "application/octet-stream", media_types.MARKDOWN),
        (b"# Title\n\nwords", "a.md", "text/plain; charset=utf-8", media_types.MARKDOWN),
        (b"a,b,c\n1,2,3\n4,5,6\n", "a.csv", media_types.XLS, media_types.CSV),
        (b"a,b,c\n1,2,3\n4,5,6\n", None, media_types.XLS, media_types.CSV),
        (b"a,b,c\n1,2,3\n4,5,6\n", "a.txt", "text/plain", media_types.CSV),
        (b"%PDF-1.7", "a", "text/html", media_types.PDF),
        (b"<!doctype html><p>words", "a", "text/markdown", media_types.HTML),
        (b"solid words", "a", "model/stl", media_types.TEXT),
        (b"solid words", "a", "application/pdf", media_types.TEXT),
        (b"no json", "a", "application/json", media_types.TEXT),
    ],
)
def test_content_and_name_outweigh_the_given_type(
    data: bytes, name: str | None, given: str, expected: str
) -> None:
    """What a client says is no more than a hint: it may have a table of its own, or none."""
    assert detect_media_type(data, name, given) == expected


@pytest.mark.parametrize("name", [None, "a", "a.txt"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("text/markdown", media_types.MARKDOWN),
        ("Text/HTML; charset=utf-8", media_types.HTML),
        ("text/csv", media_types.CSV),
        ("text/xml", media_types.XML),
        ("text/x-python", "text/x-python"),
    ],
)
def test_given_type_tells_kinds_of_text_apart(name: str | None, given: str, expected: str) -> None:
    """Where neither the content nor the name says which kind of text it is, the client does."""
    assert detect_media_type(b"some, <i>words</i>\nand, more", name, given) == expected
