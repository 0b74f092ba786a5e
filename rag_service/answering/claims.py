"""The sentences of an answer that claim something, each with the passages that its markers name."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from corpus.sentences import sentence_spans
from rag_service.answering.citation_markers import Marker

# Sentences that say nothing about the world: courtesies, questions back, headings of lists, and
# statements that the passages lack something, which no passage can support.
_COURTESY = re.compile(
    r"(?:you(?:'|\u2019| a)re (?:very )?welcome|thank you|thanks|sure|of course|certainly)\W*\Z"
    r"|(?:i hope (?:this|that|it) helps|let me know if|(?:please )?feel free to)\b",
    re.IGNORECASE,
)
_QUESTION_OR_HEADING = re.compile(r"[?:][\s*_\"'\u201d\u2019)]*\Z")
_ABOUT_SOURCES = re.compile(
    r"\A(?:i|the (?:given |provided )?(?:passages?|documents?|context|sources?|texts?|information))\b"
    r".{0,40}?(?: not|n(?:'|\u2019)t) (?:\w+ )?"
    r"(?:know|have|mention|say|state|contain|include|provide|specify|give|tell|describe|explain)\b",
    re.IGNORECASE | re.DOTALL,
)
_GOES_ON = re.compile(r"\b(?:but|however|though)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence of the answer, and the passages (from 0) that the model's markers gave for it."""

    start: int
    end: int
    text: str
    cited: frozenset[int] = frozenset()


def find_claims(plain: str, markers: Sequence[Marker], passage_count: int) -> Iterator[Claim]:
    """Yield the claims of an answer without markers; a marker between two belongs to the first.

    Markers that name no passage (1 to `passage_count`) are ignored.
    """
    spans = sentence_spans(plain)
    for place, (start, end) in enumerate(spans):
        if not says_something(plain[start:end]):
            continue
        following = spans[place + 1][0] if place + 1 < len(spans) else len(plain) + 1
        numbers = {n for marker in markers if start < marker.position < following for n in marker.numbers}
        cited = frozenset(number - 1 for number in numbers if 1 <= number <= passage_count)
        yield Claim(start, end, plain[start:end], cited)


def says_something(sentence: str) -> bool:
    """Whether a sentence claims something that a source could support."""
    if not any(character.isalnum() for character in sentence):
        return False
    if _COURTESY.match(sentence) or _QUESTION_OR_HEADING.search(sentence):
        return False
    return _ABOUT_SOURCES.match(sentence) is None or _GOES_ON.search(sentence) is not None
