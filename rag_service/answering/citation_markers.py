"""The ``[n]`` in an answer: taken out of what the model wrote, put back where they hold."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_MARKER = re.compile(
    r"(?<![ \t])[ \t]*\[\s*(?:(?:passage|source|document|doc|citation)s?\s*)?\^?"
    r"([0-9]{1,9}(?:\s*(?:,|;|-|\u2013|and)\s*[0-9]{1,9})*)\s*\]",
    re.IGNORECASE,
)
_CUT_OFF = re.compile(
    r"\s*\[\s*(?:(?:passage|source|document|doc|citation)s?\s*)?\^?[0-9,;\s\u2013-]*\Z", re.IGNORECASE
)
_NUMBER = re.compile(r"[0-9]+")
_RANGE = re.compile(r"([0-9]+)\s*[-\u2013]\s*([0-9]+)")
_LONGEST_RANGE = 20
_CLOSING = re.compile(r"[.!?\u2026\u3002\uff01\uff1f]*[\"'\u201d\u2019)\]*_`]*\s*\Z")


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker stood at `position` of the plain text; `numbers` may be any."""

    position: int
    numbers: frozenset[int]


def take_markers(answer: str) -> tuple[str, list[Marker]]:
    """Return the answer without its markers, and where they stood, in order.

    Markers are looked for again until there are none: taking one out of ``[[1]2]`` leaves another. One
    that the end of the answer cut off is left out too.
    """
    answer, markers = take_whole_markers(answer)
    answer = _CUT_OFF.sub("", answer)
    return answer, [Marker(min(each.position, len(answer)), each.numbers) for each in markers]


def take_whole_markers(answer: str) -> tuple[str, list[Marker]]:
    """Do the same to an answer that may go on: what may become a marker stays."""
    markers: list[Marker] = []
    while True:
        answer, found = _take_once(answer, markers)
        if not found:
            return answer, sorted(markers, key=lambda marker: marker.position)
        markers = found


def _take_once(answer: str, before: Sequence[Marker]) -> tuple[str, list[Marker]]:
    """Take the markers of one pass; return them with the earlier ones moved, or none if none was found."""
    matches = list(_MARKER.finditer(answer))
    cuts = [match.span() for match in matches]
    taken = [Marker(match.start(), _numbers(match[1])) for match in matches]
    moved = [Marker(_moved(marker.position, cuts), marker.numbers) for marker in (*before, *taken)]
    return _MARKER.sub("", answer), moved if matches else []


def _moved(position: int, cuts: Sequence[tuple[int, int]]) -> int:
    """Return where a position is once the spans are cut out."""
    return position - sum(max(0, min(end, position) - start) for start, end in cuts)


def _numbers(text: str) -> frozenset[int]:
    numbers = {int(each) for each in _NUMBER.findall(text)}
    for first, last in _RANGE.findall(text):
        if 0 <= int(last) - int(first) <= _LONGEST_RANGE:
            numbers |= set(range(int(first), int(last) + 1))
    return frozenset(numbers)


def put_markers(
    text: str, claims: Mapping[tuple[int, int], Sequence[int]]
) -> tuple[str, dict[tuple[int, int], tuple[int, int]]]:
    """Write ``[n]`` for each claim's citations before the full stop that ends it.

    Returns the new text, and for each span of `claims` its span in the new text, markers included.
    Spans must not overlap.
    """
    pieces: list[str] = []
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    end = grown = 0
    for span in sorted(claims):
        place = _before_the_end(text, *span)
        inserted = "".join(f" [{number}]" for number in claims[span])
        pieces += [text[end:place], inserted]
        end = place
        spans[span] = (span[0] + grown, span[1] + grown + len(inserted))
        grown += len(inserted)
    return "".join(pieces) + text[end:], spans


def _before_the_end(text: str, start: int, end: int) -> int:
    closing = _CLOSING.search(text, start, end)
    return closing.start() if closing and closing.start() > start else end
