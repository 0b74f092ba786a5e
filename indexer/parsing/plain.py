"""Text as it stands: plain text, YAML, source code."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from corpus.chunks import Heading, ParsedDocument
from indexer.parsing import media_types
from indexer.parsing.cleaning import clean, decode
from indexer.parsing.writing import clean_title, one_line

_BLOCK = re.compile(r"\S[^\n]*(?:\n[ \t]*\S[^\n]*)*")
_TITLE = re.compile(r"\W{0,3}[^\W_][^\n]{0,98}[^\s.!?,;:…\u3002\uff0c]")
_HEADING = re.compile(r"[^\W_a-z][^\n]{1,58}[^\s.!?,;:…\u3002\uff0c]")
_SHORTEST_BODY = 80  # characters; what stands under a heading is longer
_LONGEST_TITLE_BLOCK = 3  # lines: title, subtitle, author

_Block = tuple[int, int]


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Keep the text, changed only where it must be (`clean`); find titles that stand alone."""
    text = clean(decode(data))
    if media_type != media_types.TEXT:
        return ParsedDocument(text, media_type)
    blocks = [found.span() for found in _BLOCK.finditer(text)]
    return ParsedDocument(text, media_type, _title(text, blocks), headings=tuple(_headings(text, blocks)))


def _title(text: str, blocks: Sequence[_Block]) -> str | None:
    """Return the first line, if it looks like a title above the text."""
    first = text[slice(*blocks[0])] if len(blocks) > 1 else ""
    line, *others = first.split("\n") if len(first) < _LONGEST_TITLE_BLOCK * 100 else [""]
    fits = len(others) < _LONGEST_TITLE_BLOCK and _TITLE.fullmatch(line.strip())
    return clean_title(line) if fits else None


def _headings(text: str, blocks: Sequence[_Block]) -> Iterator[Heading]:
    """Yield the short lines that stand alone above a longer paragraph."""
    for (start, end), below in pairwise(blocks):
        if _HEADING.fullmatch(text, start, end) and below[1] - below[0] >= _SHORTEST_BODY:
            yield Heading(start, 2, one_line(text[start:end]))
