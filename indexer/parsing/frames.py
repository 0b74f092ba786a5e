"""What goes through the pipes between `ParserPool` and its workers: length-prefixed frames.

A request is two frames: JSON ``{"filename", "media_type"}`` and the document's bytes. A reply is one
frame of JSON: ``{"document": …}`` or ``{"error": class name, "message": …}``, and ``"retiring"`` if
the worker ends now. JSON and not pickle: a worker that a document has taken over can say what it
likes, but can not make the parent run it.
"""

import json
import struct
from typing import BinaryIO

from corpus import errors
from corpus.chunks import Heading, PageSpan, ParsedDocument
from corpus.errors import DamagedDocument, DocumentError

LENGTH = struct.Struct(">Q")


def frame(payload: bytes) -> bytes:
    """Return the payload behind its length."""
    return LENGTH.pack(len(payload)) + payload


def read_frame(stream: BinaryIO) -> bytes | None:
    """Read the next payload; None at the end of the stream, even one in the middle of a frame."""
    prefix = stream.read(LENGTH.size)
    if len(prefix) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(prefix)
    payload = stream.read(length)
    return payload if len(payload) == length else None


def request_frames(data: bytes, filename: str | None, media_type: str | None) -> tuple[bytes, bytes]:
    """Return a request up to the document's bytes, and these; apart, for they may be large."""
    header = json.dumps({"filename": filename, "media_type": media_type}).encode()
    return frame(header) + LENGTH.pack(len(data)), data


def read_request(stream: BinaryIO) -> tuple[bytes, str | None, str | None] | None:
    """Read the next request: data, filename, media type; None when the parent is gone."""
    header = read_frame(stream)
    data = read_frame(stream) if header is not None else None
    if header is None or data is None:
        return None
    named = json.loads(header)
    return data, named["filename"], named["media_type"]


def document_reply(document: ParsedDocument, *, retiring: bool) -> bytes:
    """Return the reply that carries a document."""
    fields = {
        "text": document.text,
        "media_type": document.media_type,
        "title": document.title,
        "pages": [(page.start, page.end, page.number) for page in document.pages],
        "headings": [(heading.start, heading.level, heading.title) for heading in document.headings],
    }
    return frame(json.dumps({"document": fields, "retiring": retiring}, ensure_ascii=False).encode())


def error_reply(error: DocumentError, *, retiring: bool) -> bytes:
    """Return the reply that carries an error."""
    reply = {"error": type(error).__name__, "message": str(error), "retiring": retiring}
    return frame(json.dumps(reply).encode())


def open_reply(payload: bytes) -> tuple[ParsedDocument | DocumentError, bool]:
    """Return what a reply carries, and whether the worker ends.

    Raises:
        ValueError, KeyError, TypeError: it is no reply.
    """
    reply = json.loads(payload)
    if "error" in reply:
        return _error(reply["error"], reply["message"]), bool(reply["retiring"])
    fields = reply["document"]
    document = ParsedDocument(
        fields["text"],
        fields["media_type"],
        fields["title"],
        tuple(PageSpan(*page) for page in fields["pages"]),
        tuple(Heading(*heading) for heading in fields["headings"]),
    )
    return document, bool(reply["retiring"])


def _error(name: str, message: str) -> DocumentError:
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, DocumentError):
        return kind(message)
    return DamagedDocument(message)
