"""reStructuredText and Org: the source is the text; headings are told by their lines."""

import re
from collections.abc import Iterator

from corpus.chunks import Heading, ParsedDocument
from indexer.parsing import media_types
from indexer.parsing.cleaning import clean, decode
from indexer.parsing.writing import clean_title, one_line

_ORG = re.compile(r"^(\*+) +(?:(?:TODO|DONE) +)?(\S.*?)(?:[ \t]+:[\w@:]+:)?[ \t]*$", re.MULTILINE)
_ORG_TITLE = re.compile(r"^#\+title:[ \t]*(.+)$", re.MULTILINE | re.IGNORECASE)
_RST_LINE = re.compile(r"([=\-~^\"'`#*+:._<>])\1{2,}\s*")


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Keep the source and find its headings."""
    text = clean(decode(data))
    headings = tuple(_org_headings(text) if media_type == media_types.ORG else _rst_headings(text))
    named = _ORG_TITLE.search(text) if media_type == media_types.ORG else None
    title = named[1] if named else next((heading.title for heading in headings if heading.level == 1), None)
    return ParsedDocument(text, media_type, clean_title(title), headings=headings)


def _org_headings(text: str) -> Iterator[Heading]:
    for found in _ORG.finditer(text):
        yield Heading(found.start(), len(found[1]), one_line(found[2]))


def _rst_headings(text: str) -> Iterator[Heading]:
    """Yield titles with a line under them; styles get their level in the order they turn up."""
    levels: dict[tuple[str, bool], int] = {}
    above, before, title = "", "", ""
    above_start = before_start = 0
    start = 0
    for line in text.split("\n"):
        found = _RST_LINE.fullmatch(line)
        title = before.strip()
        if found and title and not _RST_LINE.fullmatch(before) and len(line.rstrip()) >= len(before.rstrip()):
            overlined = above.strip() == line.strip()
            level = levels.setdefault((found[1], overlined), len(levels) + 1)
            yield Heading(above_start if overlined else before_start, level, one_line(title))
        above, above_start = before, before_start
        before, before_start = line, start
        start += len(line) + 1
