"""Sentences of a text as exact spans; the indexer cuts chunks at them, answers cite them.

Rules, no model: a sentence ends at a full stop, question or exclamation mark that what follows
confirms (white space, then no small letter), at CJK and other scripts' full stops, at a blank line,
and at a line break that is no mere wrapping (list items, table rows, short lines). Abbreviations,
initials, decimals and ellipses before a small letter do not end one.
"""
# ruff: noqa: RUF001 - the marks of all scripts are this file's subject

import re
from collections.abc import Iterator

WRAPPED_LINE = 40  # characters; a shorter line was not broken by the page's width
LONGEST_WRAPPED = 600  # characters; a longer run of wrapped lines is a listing, and is cut at its lines

_CLOSERS = "\"'”’»)\\]}›"
_CJK_CLOSERS = "」』）】》〉”’"
# "[36]" after a full stop is a note's number and belongs to the sentence that it ends.
_END = re.compile(rf"(?P<mark>[.!?…‥؟۔।॥։።]+)(?:\[\d{{1,4}}\]|[{_CLOSERS}])*|[。！？｡]+[{_CJK_CLOSERS}]*")
_STRUCTURE = re.compile(r"\s*(?:[-*+•‣◦▪·–—]\s|\(?\w{1,3}[.)]\s|#{1,6}\s|\||>|```|~~~)")
_LEADING_NUMBER = re.compile(r"\s*[(]?(?:\d{1,3}|\w)[.)]?$")
_WORD_BEFORE = re.compile(r"[^\s(\[\"'“‘«]+$")
_WORD = re.compile(r"\w{1,20}|\S")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]$")

# Words that a full stop shortens, and after which a sentence rarely ends.
_ABBREVIATIONS = frozenset(
    "dr mr mrs ms mx prof st sr jr rev hon gen col maj capt lt sgt cmdr gov sen rep pres fr mt ft vs cf "  # noqa: SIM905 - word lists read best as words
    "viz e.g i.e eg ie al ca approx resp incl excl esp dept univ assn bros jan feb mar apr jun jul aug "
    "sept sep oct nov dec mon tue tues wed thu thur thurs fri sat sun z.b d.h u.a bzw vgl evtl ggf sog "
    "mme mlle".split()
)
# Words that a full stop shortens when a number follows ("No. 5", "p. 12").
_BEFORE_NUMBERS = frozenset(
    "no nos nr fig figs p pp par para art sec sect ch chap vol eq tab app ed v ver c s str abs".split()  # noqa: SIM905 - same
)
# After initials and the like ("plan B.", "in the U.S.", "6 p.m.") these words tell a new sentence.
_OPENERS = frozenset(
    "the a an it its he she his her they their we our you i this that these those there here in on at for "  # noqa: SIM905 - same
    "from by with if when while after before since as but and or so then however no not what who how".split()
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the sentences of `text` as (start, end), in order.

    Spans do not overlap, neither begin nor end with white space, are never empty, and cover every
    character that is not white space. Takes time linear in the length of the text.
    """
    return [span for start, end in _paragraphs(text) for span in _sentences_of_block(text, start, end)]


def _paragraphs(text: str) -> Iterator[tuple[int, int]]:
    """Yield runs of lines that belong together: they part at the hard line breaks."""
    block = last = (0, 0)
    for line in _lines(text):
        if block[0] < block[1] and _is_wrapped(text, block, last, line):
            block = (block[0], line[1])
        else:
            if block[0] < block[1]:
                yield block
            block = line
        last = line
    if block[0] < block[1]:
        yield block


def _lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield the span of each line without the white space around; blank lines are empty spans."""
    start = 0
    for piece in text.splitlines(keepends=True):
        lead = len(piece) - len(piece.lstrip())
        yield start + min(lead, len(piece)), start + max(len(piece.rstrip()), lead)
        start += len(piece)


def _is_wrapped(text: str, block: tuple[int, int], last: tuple[int, int], line: tuple[int, int]) -> bool:
    """Whether `line` goes on with what the block's last line left unfinished."""
    if line[0] >= line[1] or line[1] - block[0] > LONGEST_WRAPPED:
        return False
    if _STRUCTURE.match(text, *line) or "\t" in text[line[0] : line[1]] or "\t" in text[last[0] : last[1]]:
        return False
    if text[last[0]] in "#|":
        return False
    return text[line[0]].islower() or last[1] - last[0] >= WRAPPED_LINE


def _sentences_of_block(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    begin = start
    for match in _END.finditer(text, start, end):
        if match["mark"] and not _ends_sentence(text, begin, match, end):
            continue
        yield begin, match.end()
        begin = _skip_space(text, match.end(), end)
    if begin < end:
        yield begin, end


def _ends_sentence(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    if match.end() == end:
        return True
    following = _WORD.match(text, _skip_space(text, match.end(), end), end)
    if not text[match.end()].isspace() or (following is not None and following[0][0].islower()):
        return False
    if match[0] != ".":
        return True
    if _LEADING_NUMBER.match(text, begin, match.start()):
        return False
    found = _WORD_BEFORE.search(text, max(begin, match.start() - 20), match.start())
    return found is None or not _is_shortened(found[0], following[0] if following else "")


def _is_shortened(word: str, following: str) -> bool:
    """Whether the full stop between the two words shortens the first and ends no sentence."""
    lower = word.lower()
    if lower in _ABBREVIATIONS:
        return True
    if lower in _BEFORE_NUMBERS and following[:1].isdigit():
        return True
    # "J. R. R. Tolkien", "the U.S. Army"; but "vitamin C. It", "at 6 p.m. Then"
    return bool(_INITIALS.match(word)) and following[:1].isupper() and following.lower() not in _OPENERS


def _skip_space(text: str, start: int, end: int) -> int:
    while start < end and text[start].isspace():
        start += 1
    return start
