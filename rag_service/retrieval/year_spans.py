"""Years that passages tell by the span in which they lie.

Who led the station in 1987 is told by "led the station from 1984 to 1990", in which no 1987 stands: nothing
that compares words or numbers finds it, nor a reader that was trained on words. So such a question is read
with the span in the year's place.
"""

import re
from collections.abc import Iterator, Sequence

from corpus.sentences import sentence_spans
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.terms import terms_of
from rag_service.retrieval.units import unit_behind

_YEAR = r"(?:1[5-9]|20)\d\d"
_YEARS = re.compile(rf"\b{_YEAR}\b")
_SPAN = re.compile(
    rf"\b({_YEAR})(?:\s?[-\u2013\u2014|]\s?({_YEAR})|[-\u2013](\d\d)|\s(?:to|till|until|through)\s({_YEAR}))"
    rf"(?!\d|[-/.]\d)|\bbetween\s({_YEAR})\sand\s({_YEAR})\b",
    re.IGNORECASE,
)
_IN_YEAR = re.compile(rf"\b(?:in|during)\s(?:the\syear\s)?({_YEAR})\b", re.IGNORECASE)


def in_told_years(question: str, passages: Sequence[Passage]) -> str:
    """Return the question, with the span in the place of its year where the passages tell it only so.

    The span is that of the sentence which shares most words with the question, more than any that has the
    year itself.
    """
    years = set(_YEARS.findall(question))
    asked_in = _IN_YEAR.search(question)
    if len(years) != 1 or asked_in is None or _SPAN.search(question):
        return question
    year = asked_in[1]
    asked = frozenset(terms_of(question).stems)
    best, most = question, 0
    for sentence, dated, span in _dated(year, passages):
        shared = len(asked & frozenset(terms_of(sentence).stems))
        if shared > most or (shared == most and dated):
            most = shared
            first, last = span or ("", "")
            told = _IN_YEAR.sub(f"from {first} to {last}", question)
            best = question if dated else told
    return best


def _dated(year: str, passages: Sequence[Passage]) -> Iterator[tuple[str, bool, tuple[str, str] | None]]:
    """Yield sentences, whether they or their titles have the year, else a span around it, as it stands."""
    for passage in passages:
        titled = year in passage.full_title
        for start, end in sentence_spans(passage.text):
            sentence = passage.text[start:end]
            if titled or year in sentence:
                yield sentence, True, None
            elif span := _span_around(year, sentence):
                yield sentence, False, span


def _span_around(year: str, sentence: str) -> tuple[str, str] | None:
    """Return the ends as they are written: 1984 and 90."""
    for match in _SPAN.finditer(sentence):
        first, last = (each for each in match.groups() if each)
        inside = first <= year <= first[: -len(last)] + last
        if inside and unit_behind(sentence, match.start(), match.end())[0] is None:
            return first, last
    return None
