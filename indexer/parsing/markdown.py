"""Markdown: the source is the text, for it is made to be read; headings and title are found in it."""

import re
from collections.abc import Iterator
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from corpus.chunks import Heading, ParsedDocument
from indexer.parsing.cleaning import clean, decode
from indexer.parsing.writing import clean_title, one_line

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
_MARKS = re.compile(r"[*_`\[\]<>&\\!]")
# Pictures inside links are kilobytes of letters that nobody reads.
_DATA_URI = re.compile(r"\(data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]{64,}\)")


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Keep the source; only pictures given as data inside links are taken out."""
    text = _DATA_URI.sub("()", clean(decode(data)))
    front = _FRONT_MATTER.match(text)
    headings = tuple(_headings(text, front.end() if front else 0))
    named = _FRONT_TITLE.search(front[1]) if front else None
    title = named[1].strip(" \t\"'") if named else next((h.title for h in headings if h.level == 1), None)
    return ParsedDocument(text, media_type, clean_title(title), headings=headings)


def _headings(text: str, start: int) -> Iterator[Heading]:
    parser = MarkdownIt("commonmark")
    inline = MarkdownIt("commonmark")
    parser.core.ruler.disable("inline")  # only headings are read further
    body = text[start:]
    offsets = [start]
    for line in body.split("\n"):
        offsets.append(offsets[-1] + len(line) + 1)
    tokens = parser.parse(body)
    for opening, content in pairwise(tokens):
        if opening.type == "heading_open" and opening.level == 0 and opening.map:
            source = content.content
            title = one_line(_plain(inline.parseInline(source)) if _MARKS.search(source) else source)
            if title:
                yield Heading(offsets[opening.map[0]], int(opening.tag[1:]), title)


def _plain(tokens: list[Token]) -> str:
    children = [child for token in tokens for child in token.children or []]
    return "".join(" " if child.type in ("softbreak", "hardbreak") else child.content for child in children)
