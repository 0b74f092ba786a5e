"""MSG, Outlook's mail: properties are streams of an OLE file ([MS-OXMSG], sections 2.1 and 2.4)."""

import io
from collections.abc import Iterator

import olefile

from corpus.chunks import ParsedDocument
from indexer.parsing.cleaning import decode
from indexer.parsing.html import write_html
from indexer.parsing.mail import write_attachment
from indexer.parsing.writing import TextWriter

# Property ids, in hexadecimal ([MS-OXPROPS]).
_SUBJECT, _SENDER, _RECIPIENTS, _BODY, _HTML = "0037", "0C1A", "0E04", "1000", "1013"
_LONG_NAME, _NAME, _DATA = "3707", "3704", "3701"
_SHOWN = (("Subject", _SUBJECT), ("From", _SENDER), ("To", _RECIPIENTS))
_UNICODE, _ANSI, _BINARY = "001F", "001E", "0102"
_MOST_ATTACHMENTS = 200


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read a mail; an attachment that can not be read is named only."""
    writer = TextWriter()
    with olefile.OleFileIO(io.BytesIO(data)) as message:
        shown = [(name, _string(message, "", key)) for name, key in _SHOWN]
        writer.lines(f"{name}: {value}" for name, value in shown if value)
        body = _string(message, "", _BODY)
        if body:
            writer.paragraph(body)
        else:
            write_html(writer, decode(_binary(message, "", _HTML)))
        for folder in list(_attachment_folders(message))[:_MOST_ATTACHMENTS]:
            name = _string(message, folder, _LONG_NAME) or _string(message, folder, _NAME) or "unnamed"
            write_attachment(writer, name, _binary(message, folder, _DATA), depth=1)
    return writer.finish(media_type, shown[0][1])


def _attachment_folders(message: olefile.OleFileIO) -> Iterator[str]:
    for entry in message.listdir(streams=False, storages=True):
        if len(entry) == 1 and entry[0].startswith("__attach_version1.0_"):
            yield f"{entry[0]}/"


def _string(message: olefile.OleFileIO, folder: str, key: str) -> str:
    wide = _stream(message, f"{folder}__substg1.0_{key}{_UNICODE}")
    text = (
        wide.decode("utf-16-le", errors="replace")
        if wide
        else decode(_stream(message, f"{folder}__substg1.0_{key}{_ANSI}"))
    )
    return text.strip("\x00").strip()


def _binary(message: olefile.OleFileIO, folder: str, key: str) -> bytes:
    return _stream(message, f"{folder}__substg1.0_{key}{_BINARY}")


def _stream(message: olefile.OleFileIO, name: str) -> bytes:
    if not message.exists(name):
        return b""
    with message.openstream(name) as stream:
        content: bytes = stream.read()
    return content
