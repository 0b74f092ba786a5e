"""Whose words stand where a reader has read beside the answerer, and whether any do.

The two read in different ways and fail apart: where they agree the answerer's words are right in five of
six cases, where they do not they are in two of five; the reader's are as good where it is sure. How likely
the passages are to answer at all follows from the evidence score, from how sure the reader is, and from
whether the two agree; `benchmarks/two_readers.py` fits it, docs/decisions/0079-two-readers.md has the
numbers.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log

from rag_service.answering.citation_markers import take_markers
from rag_service.answering.quoting import agrees
from rag_service.retrieval.numbers import numbers_in
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import needs_a_sum, offers_a_choice
from rag_service.retrieval.readings import Reading
from rag_service.retrieval.terms import composed, terms_of
from rag_service.retrieval.units import measures_another, unit_behind

INTERCEPT = 0.11
OF_EVIDENCE, OF_MARGIN, OF_AGREEING = 0.46, 0.24, 0.16
THRESHOLD = 0.42
SENTENCES = 3  # in which the reader's answers are looked for
_PREFERRED = 2.0  # what agreeing counts beside a margin, and standing in the best sentence
_MOST_MARGIN = 10.0  # beyond, it says no more
_SURE = 2.0  # a margin from which the reader's words stand against the answerer's
_JUDGED = frozenset({"yes", "no"})
_SHORT = 6  # words
_WORD = re.compile(r"\w+")
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
_OR = re.compile(r"\bor\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Told:
    """What a reader takes for the answer: its words, how much likelier than none (a logit), where."""

    text: str
    margin: float
    chunk_id: int
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """What the answerer wrote: its text, whether that is a refusal, and whether it was computed, of what."""

    text: str
    refused: bool = False
    computed: bool = False
    used: frozenset[str] = frozenset()  # numbers, in the form of `numbers_in`


def told_in(
    sentences: Sequence[str], passages: Sequence[Passage], readings: Sequence[Reading]
) -> tuple[Told, ...]:
    """Return the reader's answers within the best sentences, the first sentence's first."""
    found = [_told_in(sentence, passages, readings) for sentence in sentences[:SENTENCES]]
    return tuple(each for each in found if each)


def _told_in(sentence: str, passages: Sequence[Passage], readings: Sequence[Reading]) -> Told | None:
    found: list[Told] = []
    for passage, reading in zip(passages, readings, strict=True):
        start = passage.text.find(sentence)
        answer = reading.best(start, start + len(sentence)) if start >= 0 else None
        if answer:
            words = " ".join(passage.text[answer.start : answer.end].split())
            found.append(Told(words, answer.margin, passage.chunk_id, sentence))
    return max(found, key=lambda each: each.margin, default=None)


def settle(
    question: str, said: Said, every: Sequence[Told], evidence: float, in_context: Sequence[Passage]
) -> str | None:
    """Return the answer that stands, with markers by the places of `in_context`, or None: refuse.

    Of the reader's answers, the best sentence's first, the likeliest counts; that of the best sentence and
    those that agree are preferred.

    What was computed stands if its passages speak of the year, and so do yes and no, which no reader finds; a
    sum that was not is none.
    Where the two disagree, or the reader's words are the fuller ones, it is these if it is sure, else the
    answerer's; where the reader thinks besides that there is no answer, there is none. An answer that
    measures something else, that only repeats the question, or comes from a passage that does not speak of
    the year that was asked for, is none either.
    """
    if said.computed or needs_a_sum(question):
        off = measures_another(question, said.text) or speaks_of_other_years(question, in_context, said.used)
        return said.text if said.computed and not off else None
    plain = take_markers(said.text)[0].strip(" .")
    own = "" if said.refused else plain
    told = likeliest(own, every)
    agreed = bool(own) and (own.lower() in _JUDGED or agree(own, told.text))
    if probability(evidence, told.margin, agreed=agreed) < THRESHOLD or not (agreed or told.margin > 0):
        return None
    stands = bool(own) and (told.margin < _SURE or (agreed and not _is_part(own, told.text)))
    words = own if stands else told.text
    source = [each for each in in_context if each.chunk_id == told.chunk_id]
    if is_off(words, question) or (source and speaks_of_other_years(question, source)):
        return None
    return as_sentence(said.text if stands else f"{told.text}{markers([told.chunk_id], in_context)}.")


def likeliest(own: str, every: Sequence[Told]) -> Told:
    """Return which of the reader's answers counts beside the answerer's own, which may be empty."""

    def weight(place: int) -> float:
        return every[place].margin + _PREFERRED * ((place == 0) + bool(own and agree(own, every[place].text)))

    return every[max(range(len(every)), key=weight)]


def _is_part(own: str, told: str) -> bool:
    """Tell whether an answer is a part of a longer one that is still short: "Milo" of "Milo Berg"."""
    part, whole = (_WORD.findall(composed(each).lower()) for each in (own, told))
    return len(part) < len(whole) <= _SHORT and f" {' '.join(part)} " in f" {' '.join(whole)} "


def as_sentence(text: str) -> str:
    """Begin with a capital letter, unless the first word is written in a way of its own."""
    first = text.partition(" ")[0]
    return text[:1].upper() + text[1:] if first.isalpha() and first.islower() else text


def hopeless(evidence: float, every: Sequence[Told]) -> bool:
    """Tell before the answerer is asked whether it would be refused even if it agreed."""
    return probability(evidence, max(each.margin for each in every), agreed=True) < THRESHOLD


def agree(said: str, told: str) -> bool:
    """Tell whether two answers share their numbers, or where one has none, a content word.

    One may have more of them, as a date that has its year; 20 July 2025 and 19 July 2025 are not the same.
    """
    own, other = terms_of(said), terms_of(told)
    one, two = own.numbers | own.number_words, other.numbers | other.number_words
    return one <= two or two <= one if one and two else agrees(said, told)


def is_off(said: str, question: str) -> bool:
    """Tell whether an answer measures something else than what is asked for, or only repeats the question.

    One of the things that the question lets choose from is an answer.
    """
    own, asked = terms_of(said), terms_of(question)
    numbers = own.numbers | own.number_words
    new = (frozenset(own.stems) - frozenset(asked.stems)) | numbers - asked.numbers
    chosen = offers_a_choice(question) and bool(own.stems or numbers) and not _OR.search(said)
    return measures_another(question, said) or not (new or chosen or said.lower() in _JUDGED)


def speaks_of_other_years(
    question: str, passages: Iterable[Passage], used: frozenset[str] = frozenset()
) -> bool:
    """Tell whether the question names a year that the passages do not speak of, nor their titles.

    "2000 euros" name none; what else looks like a year may be written 2,000 there. A year that was computed
    with need not stand there.
    """
    texts = " ".join(f"{each.full_title} {each.text}" for each in passages)
    years = {each[0] for each in _YEAR.finditer(question) if not _is_measured(question, each)} - used
    return not all(year in texts or year in numbers_in(texts) for year in years)


def _is_measured(question: str, number: re.Match[str]) -> bool:
    return unit_behind(question, number.start(), number.end())[0] is not None


def markers(chunk_ids: Iterable[int], in_context: Sequence[Passage]) -> str:
    """Return the markers of these chunks by their places, behind a space; nothing for what is not there."""
    places = {each.chunk_id: number for number, each in enumerate(in_context, start=1)}
    found = "".join(f"[{places[each]}]" for each in chunk_ids if each in places)
    return f" {found}" if found else ""


def probability(evidence: float, margin: float, *, agreed: bool) -> float:
    """Return how likely it is, 0 to 1, that the passages answer."""
    evidence = min(max(evidence, 1e-3), 1 - 1e-3)
    margin = min(max(margin, -_MOST_MARGIN), _MOST_MARGIN)
    logit = INTERCEPT + OF_EVIDENCE * log(evidence / (1 - evidence)) + OF_MARGIN * margin
    return 1 / (1 + exp(-(logit + OF_AGREEING * agreed)))
