"""Answers that no passage gives by itself: a reader reads two as one text.

"In which town was the man born who cooks the soup?" One passage names the man, another his town. A reader
that learned from such pairs finds the town where it reads the sentences about the soup before the passage
about the man; of each by itself it rightly says that there is no answer. It is too sure of itself there, so
the answerer must say the same (docs/decisions/0090-two-passages-read-together.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations

from corpus.sentences import sentence_spans
from rag_service.answering.citation_markers import take_markers
from rag_service.answering.two_readers import (
    Said,
    Told,
    agree,
    as_sentence,
    is_off,
    markers,
    speaks_of_other_years,
)
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import needs_a_sum
from rag_service.retrieval.readings import Read, Reading, answer_logit

_PASSAGES = 3  # the likeliest, of which each is read behind a part of each other
_WORDS, _MOST_WORDS = 50, 80  # of the part that is read before a passage
_FEWEST_WORDS = 12  # of a question that joins two facts
_LEAST_EVIDENCE = 0.05  # below, passages are about something else
_SURE = 5.5  # a margin from which what was found counts: two passages together make a reader sure too soon


@dataclass(frozen=True, slots=True)
class Joined:
    """What is told in one passage behind a part of another.

    `sentences` are the one that has it and the other passage's best.
    """

    told: Told
    passages: tuple[Passage, Passage]
    sentences: tuple[str, str]

    def first(self, best: Sequence[str]) -> tuple[str, ...]:
        """Return as many sentences as these, but both of the pair: what the answerer is to read."""
        most = max(len(best), len(self.sentences))
        return tuple(dict.fromkeys((*self.sentences, *best)))[:most]

    @property
    def rests_on(self) -> tuple[tuple[str, str], ...]:
        """The sentences, each behind the id of its document."""
        ids = (each.document_id for each in self.passages)
        return tuple(zip(ids, self.sentences, strict=True))


def joins_facts(question: str) -> bool:
    """Tell whether a question may ask for what two passages say together: such questions are long."""
    return len(question.split()) >= _FEWEST_WORDS and not needs_a_sum(question)


def may_tell_together(question: str, told: Sequence[Told], evidence: float) -> bool:
    """Tell whether it is worth reading passages together of which none tells by itself what is asked."""
    unsaid = bool(told) and all(each.margin <= 0 for each in told)
    return unsaid and evidence >= _LEAST_EVIDENCE and joins_facts(question)


def told_together(
    question: str,
    passages: Sequence[Passage],
    readings: Sequence[Reading],
    best: Sequence[str],
    together: Read,
) -> Joined | None:
    """Return what a reader takes for the answer in a passage behind sentences of another, if it is sure.

    `readings` are of the passages one by one, `best` their sentences, the best fit first. What is found
    without the other passage, too, was left out of these, mostly because it is about another name.
    """
    rows = list(_rows(passages, readings, best))
    read = together(question, [row.passage for row in rows])
    found = [row.tells(reading) for row, reading in zip(rows, read, strict=True)]
    sure = [each for each in found if each and each.told.margin > _SURE]
    return max(sure, key=lambda each: each.told.margin, default=None)


def said_together(question: str, said: Said, joined: Joined, in_context: Sequence[Passage]) -> str | None:
    """Return what two passages tell together if the answerer says the same, with the places of both; or None.

    Each passage by itself says half of it, so the evidence score does not count here.
    """
    own, told = take_markers(said.text)[0].strip(" ."), joined.told.text
    if said.refused or said.computed or not own or not agree(own, told):
        return None
    if is_off(told, question) or speaks_of_other_years(question, joined.passages):
        return None
    return as_sentence(f"{told}{markers([each.chunk_id for each in joined.passages], in_context)}.")


@dataclass(frozen=True, slots=True)
class _Row:
    """A sentence of one passage among its neighbours, and behind them another passage."""

    first: Passage
    sentence: str
    part: str
    second: Passage
    alone: Reading  # of the second by itself

    @property
    def passage(self) -> Passage:
        """What is read: one text under the first one's title."""
        return replace(self.first, text=f"{self.part}\n{self.second.text}")

    def tells(self, reading: Reading) -> Joined | None:
        """Return the likeliest answer within the second passage, unless it tells that by itself."""
        behind = len(self.part) + 1
        answer = reading.best(behind)
        if answer is None:
            return None
        start, end, text = answer.start - behind, answer.end - behind, self.second.text
        known = self.alone.best(start, end)
        if known and known.margin > 0:
            return None
        told = Told(" ".join(text[start:end].split()), answer.margin, self.second.chunk_id)
        return Joined(told, (self.second, self.first), (_sentence_at(text, start), self.sentence))


def _rows(passages: Sequence[Passage], readings: Sequence[Reading], best: Sequence[str]) -> Iterator[_Row]:
    ranked = sorted(range(len(passages)), key=lambda place: -answer_logit(readings[place]))[:_PASSAGES]
    parts = {place: _part(passages[place].text, best) for place in ranked}
    for first, second in permutations(ranked, 2):
        yield _Row(passages[first], *parts[first], passages[second], readings[second])


def _part(text: str, best: Sequence[str]) -> tuple[str, str]:
    """Return a text's best sentence, and that with as many neighbours as there is room for."""
    spans = sentence_spans(text) or [(0, len(text))]
    texts = [text[start:end] for start, end in spans]
    place = next((texts.index(each) for each in best if each in texts), 0)
    first, last = place, place + 1
    while len(text[spans[first][0] : spans[last - 1][1]].split()) < _WORDS and last - first < len(spans):
        first, last = max(0, first - 1), min(len(spans), last + 1)
    return texts[place], " ".join(text[spans[first][0] : spans[last - 1][1]].split()[:_MOST_WORDS])


def _sentence_at(text: str, start: int) -> str:
    return next((text[a:b] for a, b in sentence_spans(text) if a <= start < b), text)
