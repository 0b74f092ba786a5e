"""Bytes to text, and text to what the database can keep."""

import codecs
import re

from charset_normalizer import from_bytes

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark is a prefix of it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_GUESS_BYTES = 200_000  # enough to tell the encoding of a long text
_LEAST_RIGHT = 9  # characters beyond ASCII for each wrong byte; with fewer it is another encoding than UTF-8
_WESTERN = "cp1252"
_MORE_CHAOS = 0.02  # charset-normalizer's measures, both from 0 to 1
_LESS_SENSE = 0.1
_ODD_BYTES = 3  # of a short text, a few that look odd are much of its chaos
_FEWEST_GUESSED = 3  # bytes; less says nothing

_BEYOND_ASCII = re.compile(rb"[^\x00-\x7f]")
_LINE_ENDS = re.compile(r"\r\n?|[\v\f\x85]")
# PostgreSQL refuses NUL; the other control characters mean nothing in a text. Tab and line feed stay.
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ufffe\uffff]")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"


def clean(text: str) -> str:
    r"""Return the text with line ends as ``\n``, without control characters and lone surrogates.

    Any other character stays what and where it is.
    """
    text = _LINE_ENDS.sub("\n", text)
    text = _CONTROLS.sub("", text)
    return _SURROGATES.sub("\ufffd", text)


def is_blank(text: str) -> bool:
    """Whether there is nothing to read: white space and zero-width characters at most."""
    return not text.strip().strip(_INVISIBLE).strip()


def decode(data: bytes, declared: str | None = None) -> str:
    """Decode by the byte order mark, else as declared, else as UTF-8 if it nearly is, else by a guess.

    Never fails: what no encoding explains becomes replacement characters.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    for candidate in (declared, _wide_encoding(data), "utf-8"):
        text = _decoded(data, candidate)
        if text is not None:
            return text
    return _damaged_utf8(data) or data.decode(_guess(data), errors="replace")


def _decoded(data: bytes, encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        return data.decode(encoding)
    except (LookupError, ValueError):  # the latter also for a name with NUL
        return None


def _wide_encoding(data: bytes) -> str | None:
    """Tell UTF-16 and UTF-32 without a mark by where the zero bytes of ASCII characters stand."""
    head = data[:2_000]
    if len(data) % 4 == 0 and head and not any(head[1::4]) and not any(head[2::4]):
        return "utf-32-le" if not any(head[3::4]) else "utf-32-be"
    if len(data) % 2 == 0 and len(head) > _FEWEST_GUESSED:
        odd, even = head[1::2].count(0), head[::2].count(0)
        if max(odd, even) * 4 > len(head) and not min(odd, even):
            return "utf-16-le" if odd else "utf-16-be"
    return None


def _damaged_utf8(data: bytes) -> str | None:
    """Return UTF-8 in which a few bytes are wrong; None: it is none.

    Texts in other encodings have next to no bytes that happen to be characters of UTF-8.
    """
    text = data.decode(errors="replace")
    wrong = text.count("\ufffd")
    right = len(text) - len(text.encode("ascii", errors="ignore")) - wrong
    return text if right > _LEAST_RIGHT * wrong or (right and wrong == 1) else None


def _guess(data: bytes) -> str:
    """Guess from letter frequencies; of Latin readings about as likely, the Western one."""
    part = _telling_part(data)
    matches = from_bytes(part)
    best = matches.best()
    if best is None or best.encoding == "ascii":
        return _WESTERN
    most_chaos = best.chaos + _MORE_CHAOS + _ODD_BYTES / len(part)
    for match in matches:
        as_likely = match.chaos <= most_chaos and match.coherence >= best.coherence - _LESS_SENSE
        if as_likely and _WESTERN in match.could_be_from_charset:
            return _WESTERN
    return best.encoding


def _telling_part(data: bytes) -> bytes:
    """Return what begins about where bytes beyond ASCII do: all before is the same in most encodings.

    Neither end may be within a character, which would rule out the right encoding: it begins with a
    multiple of UTF-32's four bytes, and a part of a long text ends with a line, if it can.
    """
    first = _BEYOND_ASCII.search(data)
    start = first.start() // 4 * 4 if first else 0
    part = data[start : start + _GUESS_BYTES]
    if start + len(part) == len(data):
        return part
    return part[: part.rfind(b"\n") + 1] or part
