"""Mail (RFC 5322): who, when, what about; the body; the attachments' text."""

from collections.abc import Iterator
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesParser

from corpus.chunks import ParsedDocument
from corpus.errors import DocumentError
from indexer.parsing.cleaning import decode
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
    for part in list(_bodies(message)):
        _write_body(writer, part)
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


def _bodies(message: EmailMessage) -> Iterator[EmailMessage]:
    """Yield the parts that are the text itself; of alternatives, the plain one."""
    plain = message.get_body(preferencelist=("plain", "html"))
    if plain is not None:
        yield plain  # type: ignore[misc]  # typeshed: the policy decides the class


def _write_body(writer: TextWriter, part: EmailMessage) -> None:
    text = decode(_content(part), part.get_content_charset())
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


def _content(part: EmailMessage) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
