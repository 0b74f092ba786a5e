"""Cut a parsed document into chunks that the embedder reads whole, with exact offsets. Pure.

The document is first cut at its headings. A section that fits is one chunk; a longer one is cut into
chunks of about equal size, at the best place near the ideal one: paragraph, then sentence, then
line, then word, then token. Neighbours within a section share the sentences that fit the overlap.
"""

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from corpus.chunks import ChunkSpan, Heading, PageSpan, ParsedDocument, embedded_text
from corpus.sentences import sentence_spans

TokenSpans = Callable[[str], list[tuple[int, int]]]

SPECIAL_TOKENS = 2  # the embedder puts one before and one after the text
_WINDOW = 20_000  # characters that are tokenized at once
_LONG_TOKEN = 32  # a longer token stands for an unknown word; parts of it may be many tokens
_LONG_TOKEN_STEP = 4
_CHARACTERS_A_TOKEN = 8  # a text of more can hardly fit; trying would be a waste
_LONG_GAP = 200  # characters of white space that part two sections like a heading does
_GAP = re.compile(r"\s\s++")

# How good it is to cut before a token.
_NEVER, _TOKEN, _WORD, _LINE, _SENTENCE, _PARAGRAPH = range(6)
# What a cut of that kind costs, as a share of the ideal size that it may be off instead.
_COST = (9.0, 1.0, 0.5, 0.35, 0.2, 0.0)


@dataclass(frozen=True, slots=True)
class _Section:
    """Characters `start` to `end` have the headings `path`; `level` is the innermost one's."""

    start: int
    end: int
    path: tuple[str, ...]
    level: int
    bare: bool  # nothing but its heading


@dataclass(frozen=True, slots=True)
class _Tokens:
    """A section's tokens: where each begins, and how good a cut before it is."""

    starts: "array[int]"  # quoted, because Python 3.11 can not subscript it
    cuts: bytearray


@dataclass(frozen=True, slots=True)
class _Limits:
    title: str
    token_spans: TokenSpans
    max_tokens: int
    overlap: int

    def count(self, path: Sequence[str], text: str) -> int:
        """Return how many tokens the embedder gets for this text."""
        return len(self.token_spans(embedded_text(self.title, path, text))) + SPECIAL_TOKENS

    def room(self, path: Sequence[str]) -> int:
        """Return how many tokens of text fit beside title and headings."""
        return max(self.max_tokens - self.count(path, ""), self.max_tokens // 4, 1)


def split_into_chunks(
    document: ParsedDocument, *, title: str, token_spans: TokenSpans, max_tokens: int, overlap: int
) -> list[ChunkSpan]:
    """Cut `document` into chunks, in order, that together hold every character but white space.

    Each chunk is exact (``document.text[start:end] == text``), not empty and without white space
    at its ends. With its title and headings (`embedded_text`) it has at most `max_tokens` tokens,
    two special ones included; that holds from about `max_tokens` 128 on for any title, and below
    for titles and headings that take at most three quarters of it. `token_count` counts them all.

    At most about `overlap` tokens at the end of a chunk open the next one too, whole sentences
    if one fits; none across a heading. A heading begins a new chunk, except that a heading without
    text stays with the section below it, and sections of very few words are joined. Takes time
    linear in the document's length.
    """
    limits = _Limits(title, token_spans, max_tokens, min(overlap, max_tokens // 2))
    pages = _Pages(document.pages)
    chunks: list[ChunkSpan] = []
    for section in _join_tiny(_sections(document), tiny=max_tokens // 2):
        for start, end, count in _split_section(document.text, section, limits):
            page = pages.at(start)
            text = document.text[start:end]
            chunks.append(ChunkSpan(len(chunks), start, end, text, page, section.path, count))
    return chunks


class _Pages:
    """Finds the page of a character."""

    def __init__(self, pages: Sequence[PageSpan]) -> None:
        self._pages = pages
        self._ends = [page.end for page in pages]

    def at(self, start: int) -> int | None:
        """Return the number of the page that holds character `start`, or of the next one."""
        found = bisect_left(self._ends, start + 1)
        return self._pages[found].number if found < len(self._pages) else None


def _sections(document: ParsedDocument) -> Iterator[_Section]:
    """Yield the spans between headings, without the white space around; empty ones are left out."""
    text = document.text
    path: list[Heading] = []
    start = 0
    for heading in (*document.headings, None):
        end = len(text) if heading is None else max(heading.start, start)
        yield from _between_long_gaps(text, start, end, path)
        if heading is not None:
            path = [above for above in path if above.level < heading.level] + [heading]
            start = end


def _between_long_gaps(text: str, start: int, end: int, path: Sequence[Heading]) -> Iterator[_Section]:
    titles = tuple(heading.title for heading in path if heading.title)
    level = path[-1].level if path else 0
    begin = start
    for gap in (*_GAP.finditer(text, start, end), None):
        if gap is not None and gap.end() - gap.start() < _LONG_GAP:
            continue
        span = _trim(text, begin, end if gap is None else gap.start())
        if span[0] < span[1]:
            bare = bool(path) and begin == start and _is_bare(text, *span, path[-1].title)
            yield _Section(*span, titles, level, bare)
        begin = end if gap is None else gap.end()


def _is_bare(text: str, start: int, end: int, title: str) -> bool:
    """Whether a section is nothing but its heading: one line, or the title and a line under it."""
    if "\n" not in text[start:end]:
        return True
    if end - start > 3 * len(title) + 20:
        return False
    return not any(character.isalnum() for character in text[start:end].replace(title, "", 1))


def _join_tiny(sections: Iterable[_Section], tiny: int) -> Iterator[_Section]:
    """Join bare headings with the section below, and neighbours shorter than `tiny` characters."""
    group: _Section | None = None
    for section in sections:
        if group is None:
            group = section
        elif _joins(group, section, tiny):
            group = _joined(group, section)
        else:
            yield group
            group = section
    if group is not None:
        yield group


def _joins(group: _Section, section: _Section, tiny: int) -> bool:
    if section.level < group.level or section.start - group.end >= _LONG_GAP:
        return False
    if group.bare and section.level > group.level:
        return True
    return group.end - group.start < tiny and section.end - section.start < tiny


def _joined(group: _Section, section: _Section) -> _Section:
    below = group.bare and section.level > group.level
    path = section.path if below else _common(group.path, section.path)
    return _Section(group.start, section.end, path, group.level, group.bare and section.bare)


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]


def _split_section(text: str, section: _Section, limits: _Limits) -> Iterator[tuple[int, int, int]]:
    """Yield start, end and token count of each chunk of the section."""
    room = limits.room(section.path)
    if section.end - section.start <= _CHARACTERS_A_TOKEN * room:
        count = limits.count(section.path, text[section.start : section.end])
        if count <= limits.max_tokens:
            yield section.start, section.end, count
            return
    tokens = _tokenize(text, section.start, section.end, limits.token_spans)
    reached = section.start
    for first, last in _pack(tokens, room, min(limits.overlap, room // 3)):
        start = tokens.starts[first] if first else section.start
        end = tokens.starts[last] if last < len(tokens.starts) else section.end
        for piece in _fitting(text, start, end, section.path, limits):
            if piece[1] > reached:  # half of a chunk may lie in what it shares with the one before
                yield piece
                reached = piece[1]


def _fitting(
    text: str, start: int, end: int, path: Sequence[str], limits: _Limits
) -> Iterator[tuple[int, int, int]]:
    """Yield the span, or its halves where cutting inside words made more tokens than planned."""
    start, end = _trim(text, start, end)
    if start >= end:
        return
    count = limits.count(path, text[start:end])
    if count <= limits.max_tokens or end - start == 1:
        yield start, end, count
        return
    middle = _near_middle(text, start, end)
    yield from _fitting(text, start, middle, path, limits)
    yield from _fitting(text, middle, end, path, limits)


def _near_middle(text: str, start: int, end: int) -> int:
    middle = (start + end) // 2
    space = text.rfind(" ", start + (end - start) // 4, middle)
    return space if space > start else middle


def _tokenize(text: str, start: int, end: int, token_spans: TokenSpans) -> _Tokens:
    """Find the tokens of a section and mark where paragraphs, sentences, lines and words begin."""
    starts = array("l")
    cuts = bytearray()
    previous = start
    for token_start, token_end in _windowed_spans(text, start, end, token_spans):
        starts.append(token_start)
        cuts.append(_cut_before(text, previous, token_start))
        previous = max(previous, token_end)
        if token_end - token_start > _LONG_TOKEN:
            inner = range(token_start + _LONG_TOKEN_STEP, token_end, _LONG_TOKEN_STEP)
            starts.extend(inner)
            cuts.extend(bytes((_TOKEN,)) * len(inner))
    for sentence_start, _ in sentence_spans(text[start:end]):
        token = bisect_left(starts, start + sentence_start)
        if token < len(cuts) and cuts[token] != _NEVER:
            cuts[token] = max(cuts[token], _SENTENCE)
    return _Tokens(starts, cuts)


def _cut_before(text: str, previous_end: int, start: int) -> int:
    if start < previous_end:
        return _NEVER  # two tokens of one character
    if start == previous_end:
        return _TOKEN
    gap = text[previous_end:start]
    lines = gap.count("\n")
    if lines:
        return _PARAGRAPH if lines > 1 else _LINE
    return _TOKEN if gap.strip() == gap else _WORD


def _windowed_spans(text: str, start: int, end: int, token_spans: TokenSpans) -> Iterator[tuple[int, int]]:
    """Yield the token spans of a long text, a window at a time: memory stays flat."""
    while start < end:
        stop = min(start + _WINDOW, end)
        if stop < end:
            space = max(text.rfind("\n", start + 1, stop), text.rfind(" ", start + 1, stop))
            stop = space if space > 0 else stop
        for token_start, token_end in token_spans(text[start:stop]):
            yield start + token_start, start + token_end
        start = stop


def _pack(tokens: _Tokens, room: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last-but-one token of each chunk: about equal, cut at good places."""
    total = len(tokens.starts)
    first = last = 0
    while total - first > room:
        following = -(-(total - first - room) // (room - overlap))
        ideal = -(-(total - first + following * overlap) // (following + 1))
        lowest = max(first + ideal // 2, last + 1)
        last = _best_cut(tokens.cuts, lowest, first + ideal, first + room)
        yield first, last
        first = _overlap_start(tokens.cuts, max(first + 1, last - overlap), last)
    yield first, total


def _best_cut(cuts: bytearray, lowest: int, ideal: int, highest: int) -> int:
    width = max(highest - lowest, 1)
    best = min(range(lowest, highest + 1), key=lambda at: abs(at - ideal) / width + _COST[cuts[at]])
    while best < len(cuts) and cuts[best] == _NEVER:
        best += 1
    return best


def _overlap_start(cuts: bytearray, lowest: int, last: int) -> int:
    """Return the first sentence start from `lowest` on, else the first word's, else `last`."""
    for kind in (_SENTENCE, _WORD):
        for at in range(lowest, last):
            if cuts[at] >= kind:
                return at
    return last


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end
