"""Media type from content; the file's name only tells one kind of text from another."""

import csv
import io
import json
import lzma
import re
import zipfile
import zlib
from pathlib import PurePath

from indexer.parsing.cleaning import decode

TEXT = "text/plain"
MARKDOWN = "text/markdown"
HTML = "text/html"
XHTML = "application/xhtml+xml"
CSV = "text/csv"
TSV = "text/tab-separated-values"
JSON = "application/json"
NDJSON = "application/x-ndjson"
XML = "application/xml"
SVG = "image/svg+xml"
YAML = "application/yaml"
RST = "text/x-rst"
ORG = "text/org"
RTF = "application/rtf"
EML = "message/rfc822"
PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
XLSB = "application/vnd.ms-excel.sheet.binary.macroenabled.12"
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
EPUB = "application/epub+zip"
DOC = "application/msword"
XLS = "application/vnd.ms-excel"
PPT = "application/vnd.ms-powerpoint"
MSG = "application/vnd.ms-outlook"
ZIP = "application/zip"
ENCRYPTED_OFFICE = "application/encrypted"
OLE = "application/x-ole-storage"
BINARY = "application/octet-stream"

_ZIPPED = (b"PK\x03\x04", b"PK\x05\x06")
_OLE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_CONTAINERS = (*_ZIPPED, _OLE_MARK)
# (offset, bytes, media type) of what is recognised only to be refused by its name.
_REFUSED = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"II+\x00", "image/tiff"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypheic", "image/heic"),
    (4, b"ftypavif", "image/avif"),
    (4, b"ftyp", "video/mp4"),
    (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"\x1a\x45\xdf\xa3", "video/x-matroska"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\x07", "application/vnd.rar"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x7fELF", "application/x-executable"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
)
_BY_OLE_STREAM = (
    ("EncryptedPackage", ENCRYPTED_OFFICE),
    ("WordDocument", DOC),
    ("PowerPoint Document", PPT),
    ("__substg1.0_", MSG),
    ("Workbook", XLS),
)
_BY_PART = (
    ("word/document.xml", DOCX),
    ("ppt/presentation.xml", PPTX),
    ("xl/workbook.xml", XLSX),
    ("xl/workbook.bin", XLSB),
    ("META-INF/container.xml", EPUB),
)
_BY_SUFFIX = {
    ".md": MARKDOWN, ".markdown": MARKDOWN, ".mkd": MARKDOWN, ".html": HTML, ".htm": HTML, ".xhtml": HTML,
    ".csv": CSV, ".tsv": TSV, ".tab": TSV, ".json": JSON, ".ndjson": NDJSON, ".jsonl": NDJSON,
    ".xml": XML, ".yaml": YAML, ".yml": YAML, ".rst": RST, ".org": ORG, ".eml": EML,
    ".py": "text/x-python", ".js": "text/javascript", ".mjs": "text/javascript", ".ts": "text/x-typescript",
    ".tsx": "text/x-typescript", ".jsx": "text/javascript", ".java": "text/x-java", ".kt": "text/x-kotlin",
    ".c": "text/x-c", ".h": "text/x-c", ".cc": "text/x-c++", ".cpp": "text/x-c++", ".hpp": "text/x-c++",
    ".cs": "text/x-csharp", ".go": "text/x-go", ".rs": "text/x-rust", ".rb": "text/x-ruby",
    ".php": "text/x-php", ".pl": "text/x-perl", ".sh": "text/x-shellscript", ".sql": "text/x-sql",
    ".swift": "text/x-swift", ".scala": "text/x-scala", ".lua": "text/x-lua", ".r": "text/x-r",
    ".css": "text/css", ".toml": "application/toml", ".ini": TEXT, ".tex": "text/x-tex",
}  # fmt: skip
CODE = frozenset(_BY_SUFFIX.values()) - {
    MARKDOWN, HTML, CSV, TSV, JSON, NDJSON, XML, YAML, RST, ORG, EML, TEXT,
}  # fmt: skip
_ALIASES = {
    "text/xml": XML,
    "application/x-yaml": YAML,
    "text/yaml": YAML,
    "text/x-markdown": MARKDOWN,
    "application/csv": CSV,
    "application/javascript": "text/javascript",
}
# What a client is believed where content and name leave it open. It says text/plain of anything, and
# JSON and mail would have been known by their marks.
_BELIEVED = frozenset({MARKDOWN, HTML, XHTML, CSV, TSV, XML, YAML, RST, ORG}) | CODE

_SNIFFED = 4_000  # characters of a text that are looked at
_MOST_CONTROLS = 0.02  # of the characters; more is no text
_MOST_DAMAGED = 0.1  # of the characters; one alone is allowed to a short text
_LONGEST_VALIDATED = 20_000_000  # characters of JSON that are parsed only to know its type
_HTML = re.compile(
    r"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|title|meta|div|table|p|h1|script)\b",
    re.IGNORECASE | re.DOTALL,
)
_PAGE = re.compile(r"\s*<!doctype html|\s*<html", re.IGNORECASE)
_XML = re.compile(r"\s*<\?xml\s|\s*<!DOCTYPE\s+(?!html)", re.IGNORECASE)
_ELEMENT = re.compile(r"\s*<([A-Za-z_][\w.:-]*)[\s/>]")
_XML_ROOT = re.compile(r"<(?:[\w.-]+:)?(html|svg)[\s>]", re.IGNORECASE)
_MAIL = re.compile(r"(?:[A-Za-z][A-Za-z0-9-]*:[^\n]*\n(?:[ \t][^\n]*\n)*){2,}\s*\n")
_MAIL_FIELD = re.compile(
    r"^(?:from|to|subject|date|message-id|mime-version|received):", re.IGNORECASE | re.MULTILINE
)
_ATX = re.compile(r"^#{1,6} \S", re.MULTILINE)
_MARKDOWN_TOO = re.compile(r"^```|^[-*] \S|\]\(\S|\*\*\S", re.MULTILINE)
_FEWEST_MAIL_FIELDS = 3
_FEWEST_ROWS = 3
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def detect_media_type(data: bytes, filename: str | None, given: str | None = None) -> str:
    """Return the media type of `data`.

    The name decides only between formats that are all text. So does the type that a client has `given`,
    and only where the name does not: many send application/octet-stream, or what a table of theirs says.
    """
    binary = _detect_binary(data)
    return binary if binary is not None else detect_text_type(decode(data), filename, given)


def detect_unread_type(head: bytes) -> str | None:
    """Return the media type of what no reader takes, if a file's first bytes give it away.

    None says nothing: containers are told by what is inside, and a text by more than its beginning.
    """
    if head.startswith(_CONTAINERS):
        return None
    binary = _detect_binary(head)
    if binary is None and b"\0" in head and not _is_text(decode(head)[:_SNIFFED]):
        binary = BINARY
    return None if binary == PDF else binary


def detect_text_type(text: str, filename: str | None, given: str | None = None) -> str:
    """Return the media type of a text, or `BINARY` if it is none."""
    head = text[:_SNIFFED]
    if not _is_text(head):
        return BINARY
    named = _BY_SUFFIX.get(PurePath(filename or "").suffix.lower())
    strong = _strong_type(text, head, named)
    if strong is None and named in (JSON, NDJSON, EML):
        return TEXT  # the name promises what the content does not keep
    return strong or named or _believed_type(given) or _guessed_type(text, head)


def _is_text(head: str) -> bool:
    damaged = head.count("\ufffd")
    controls = len(_CONTROL.findall(head))
    return controls <= _MOST_CONTROLS * len(head) and damaged <= max(1, _MOST_DAMAGED * len(head))


def _believed_type(given: str | None) -> str | None:
    said = (given or "").partition(";")[0].strip().lower()
    media_type = _ALIASES.get(said, said)
    return media_type if media_type in _BELIEVED else None


def _strong_type(text: str, head: str, named: str | None) -> str | None:
    """Return a type whose mark at the beginning outweighs the name."""
    if head.lstrip().startswith("{\\rtf"):
        return RTF
    if _XML.match(head):
        root = _XML_ROOT.search(head)
        return (HTML if root[1].lower() == "html" else SVG) if root else XML
    may_be_page = named in (None, TEXT, HTML) or _PAGE.match(head)
    if may_be_page and _HTML.match(head):
        return HTML
    if named in (None, TEXT, EML, JSON, NDJSON):
        return _json_type(text, named) or (EML if _is_mail(head) else None)
    return None


def _json_type(text: str, named: str | None) -> str | None:
    stripped = text.lstrip()
    if not stripped.startswith(("{", "[")) or len(text) > _LONGEST_VALIDATED:
        return None
    lines = [line for line in stripped[:_SNIFFED].split("\n") if line.strip()]
    if _is_json(text):
        return NDJSON if named == NDJSON else JSON
    whole_lines = lines if len(stripped) <= _SNIFFED else lines[:-1]
    return NDJSON if len(whole_lines) > 1 and all(map(_is_json, whole_lines)) else None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    except RecursionError:  # deep nesting is JSON too; its reader refuses it
        return True
    return True


def _is_mail(head: str) -> bool:
    found = _MAIL.match(head)
    return found is not None and len(_MAIL_FIELD.findall(found[0])) >= _FEWEST_MAIL_FIELDS


def _guessed_type(text: str, head: str) -> str:
    root = _ELEMENT.match(head)
    if root and text.rstrip().endswith(f"</{root[1]}>"):
        return XML
    if _ATX.search(head) and _MARKDOWN_TOO.search(head) and not head.startswith("#!"):
        return MARKDOWN
    for delimiter, media_type in (("\t", TSV), (";", CSV), (",", CSV)):
        if _is_table(head, delimiter):
            return media_type
    return TEXT


def _is_table(head: str, delimiter: str) -> bool:
    """Whether each line has the same number of fields, three or more (commas stand in prose, too)."""
    lines = head.splitlines()[: -1 if len(head) >= _SNIFFED else None]
    try:
        widths = {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
    except csv.Error:
        return False
    return len(lines) >= _FEWEST_ROWS and len(widths) == 1 and min(widths) >= _FEWEST_ROWS


def _detect_binary(data: bytes) -> str | None:
    if b"%PDF-" in data[:1024]:
        return PDF
    if data.startswith(_ZIPPED):
        return _zip_type(data)
    if data.startswith(_OLE_MARK):
        return _ole_type(data)
    for offset, magic, media_type in _REFUSED:
        if data.startswith(magic, offset):
            return media_type
    return None


def _zip_type(data: bytes) -> str:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            if "mimetype" in names:
                declared = archive.read("mimetype")[:200].decode("ascii", errors="replace").strip()
                if declared.startswith("application/"):
                    return declared.removesuffix("-template")
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError):
        names = set()
    for part, media_type in _BY_PART:
        if part in names or (not names and part.encode() in data):
            return media_type
    return ZIP


def _ole_type(data: bytes) -> str:
    for stream, media_type in _BY_OLE_STREAM:
        if stream.encode("utf-16-le") in data:
            return media_type
    return OLE
