"""Mail (RFC 5322): who, when, what about; the body; the attachments' text."""

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage, Message, MIMEPart
from email.parser import BytesParser

from corpus.chunks import ParsedDocument
from corpus.errors import DocumentError
from indexer.parsing.cleaning import decode, is_blank
from indexer.parsing.html import write_html
from indexer.parsing.reading import parse_document
from indexer.parsing.writing import TextWriter

_SHOWN = ("Subject", "From", "To", "Cc", "Date")
_DEEPEST = 3  # a mail in a mail in a mail
_MOST_ATTACHMENTS = 200


def read(data: bytes, media_type: str, depth: int = 0) -> ParsedDocument:
    """Read a mail; an attachment that can not be read is named only."""
    message = BytesParser(policy=policy.default).parsebytes(data)
    writer = TextWriter()
    writer.lines(f"{name}: {value}" for name in _SHOWN if (value := _header(message, name)))
    body = _body(message)
    if body is not None:
        _write_body(writer, body)
    for name, content in list(_attachments(message))[:_MOST_ATTACHMENTS]:
        write_attachment(writer, name, content, depth)
    return writer.finish(media_type, _header(message, "Subject"))


def write_attachment(writer: TextWriter, name: str, content: bytes, depth: int) -> None:
    """Append an attachment's text under a heading with its name."""
    writer.heading(1, f"Attachment: {name}")
    if depth >= _DEEPEST:
        return
    try:
        document = (
            read(content, "message/rfc822", depth + 1)
            if name.endswith(".eml")
            else parse_document(content, filename=name)
        )
    except DocumentError:
        return
    writer.absorb(document, below=1)


def _header(message: Message, name: str) -> str:
    try:
        return " ".join(str(message.get(name, "")).split())
    except (ValueError, IndexError, AttributeError, TypeError):  # the parser trips over some malformed ones
        return ""


def _body(message: EmailMessage) -> MIMEPart | None:
    """Return the part that is the text itself; of alternatives the plain one, unless it is blank."""
    parts = [message.get_body(preferencelist=(kind,)) for kind in ("plain", "html")]
    return next((part for part in parts if part is not None and not is_blank(_text(part))), None)


def _text(part: MIMEPart) -> str:
    return decode(_content(part), part.get_content_charset())


def _write_body(writer: TextWriter, part: MIMEPart) -> None:
    text = _text(part)
    if part.get_content_type() == "text/html":
        write_html(writer, text)
    else:
        writer.paragraph(text)


def _attachments(message: EmailMessage) -> Iterator[tuple[str, bytes]]:
    for part in message.iter_attachments() if message.is_multipart() else ():
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload(0)
            if isinstance(inner, Message):
                yield f"{_header(inner, 'Subject') or 'mail'}.eml", inner.as_bytes()
        elif part.is_multipart():
            yield from _attachments(part)
        else:
            yield part.get_filename() or "unnamed", _content(part)


def _content(part: MIMEPart) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
