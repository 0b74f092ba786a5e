"""The way from bytes to a document: type, reader, errors."""

from importlib import import_module
from typing import Protocol, cast

from corpus.chunks import ParsedDocument
from corpus.errors import (
    DamagedDocument,
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    ParseLimitExceeded,
    UnsafeDocument,
    UnsupportedMediaType,
)
from indexer.parsing import media_types
from indexer.parsing.cleaning import is_blank

_TEXTS = (media_types.TEXT, media_types.YAML, *media_types.CODE)
# Which module of this package reads what. They are imported when first needed: a worker starts at
# once, and a damaged installation of one library leaves the other formats readable.
_MODULES = {
    **dict.fromkeys(_TEXTS, "plain"),
    media_types.MARKDOWN: "markdown",
    media_types.RST: "outlined",
    media_types.ORG: "outlined",
    media_types.HTML: "html",
    media_types.XHTML: "html",
    media_types.XML: "xml",
    media_types.SVG: "xml",
    media_types.JSON: "jsontext",
    media_types.NDJSON: "jsontext",
    media_types.CSV: "delimited",
    media_types.TSV: "delimited",
    media_types.RTF: "rtf",
    media_types.PDF: "pdf",
    media_types.DOCX: "docx",
    media_types.PPTX: "pptx",
    media_types.XLSX: "spreadsheet",
    media_types.XLSB: "spreadsheet",
    media_types.XLS: "spreadsheet",
    media_types.ODS: "spreadsheet",
    media_types.ODT: "opendocument",
    media_types.ODP: "opendocument",
    media_types.EPUB: "epub",
    media_types.EML: "mail",
    media_types.MSG: "outlook",
}
_ADVICE = {
    media_types.DOC: "Word 97-2003 files are not read; save it as .docx.",
    media_types.PPT: "PowerPoint 97-2003 files are not read; save it as .pptx.",
    media_types.ZIP: "A ZIP archive is many documents, not one; take it in with `rag ingest FILE.zip` "
    "or POST /v1/ingestion_jobs.",
    "application/x-tar": "A tar archive is many documents, not one; take it in with `rag ingest FILE.tar`.",
    "application/gzip": "Compressed files are not read; unpack it, or take an archive in with `rag ingest`.",
    "image": "Images are not read, for want of text recognition; give a text or a PDF with a text layer.",
    "audio": "Sound is not read; give a transcript.",
    "video": "Videos are not read; give a transcript.",
}


class _Reader(Protocol):
    def __call__(self, data: bytes, media_type: str) -> ParsedDocument: ...


def parse_document(data: bytes, *, filename: str | None, media_type: str | None = None) -> ParsedDocument:
    """Read a document in this process.

    Args:
        data: the file's bytes.
        filename: tells one kind of text from another; the content decides otherwise.
        media_type: what a client says that it is; counts where content and name leave it open.

    Raises:
        DocumentError: this document can not be read; the subclass and the message say why.
    """
    if not data:
        raise EmptyDocument("The file has no bytes; nothing can be found in it.")
    kind = media_types.detect_media_type(data, filename, media_type)
    document = _read(_reader(kind), data, kind)
    if is_blank(document.text):
        raise EmptyDocument("The document has no text, only white space or empty parts.")
    return document


def refuse_unread(head: bytes) -> None:
    """Refuse a file whose first bytes, some thousand, show that it is never read.

    Raises:
        UnsupportedMediaType: the message says what to do instead.
    """
    kind = media_types.detect_unread_type(head)
    if kind is not None:
        raise UnsupportedMediaType(_advice(kind))


def _reader(media_type: str) -> _Reader:
    if media_type == media_types.ENCRYPTED_OFFICE:
        raise EncryptedDocument("The Office document is encrypted; save it without a password.")
    if media_type not in _MODULES:
        raise UnsupportedMediaType(_advice(media_type))
    return cast("_Reader", import_module(f"indexer.parsing.{_MODULES[media_type]}").read)


def _advice(media_type: str) -> str:
    family = media_type.partition("/")[0]
    return _ADVICE.get(media_type) or _ADVICE.get(family) or f"Documents of type {media_type} are not read."


def _read(reader: _Reader, data: bytes, media_type: str) -> ParsedDocument:
    try:
        return reader(data, media_type)
    except DocumentError:
        raise
    except MemoryError as error:
        raise ParseLimitExceeded(
            "Reading the document takes more memory than RAG_PARSE_MEMORY_MB."
        ) from error
    except RecursionError as error:
        raise UnsafeDocument("The document is nested too deeply to be read.") from error
    except Exception as error:  # on damaged bytes the libraries raise whatever comes
        raise DamagedDocument(f"The bytes do not follow {media_type}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
