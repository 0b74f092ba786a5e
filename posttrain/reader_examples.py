"""What the reader learns from: a question, one passage, where in it the answer stands, if it does."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from posttrain.data.grounded import Grounded, grounded_of
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.evaluation.measures import words
from rag_service.retrieval.pairs import Pair, PairTokenizer

_MOST_PLACES = 4
_JUDGED = frozenset({"yes", "no"})  # answers that do not stand in a passage


@dataclass(frozen=True, slots=True)
class ReaderExample:
    """A pair, and what is known of it.

    `answers` are the first and last tokens of the row between which an answer stands; none, and `answered`,
    means that the passage answers without saying so in its own words. `answered` false: it does not.
    """

    pair: Pair
    answered: bool
    answers: tuple[tuple[int, int], ...] = ()


def reader_examples(records: Iterable[Record], tokenizer: PairTokenizer) -> Iterator[ReaderExample]:
    """Yield an example for the gold passages of each grounded record, and one for each near miss beside them.

    Several gold passages that answer together are one text. Records of conversations, whose questions do not
    stand alone, are left out, and so are golds that can not be found in a passage.
    """
    for record in records:
        parts = grounded_of(record)
        if parts is None or len(parts.history) != 1:
            continue
        if parts.gold and (example := _answered(parts, tokenizer)):
            yield example
        for passage in parts.passages:
            if passage not in parts.gold:
                pair = tokenizer.pair(parts.question, passage.title, passage.text)
                yield ReaderExample(pair, answered=False)


def _answered(parts: Grounded, tokenizer: PairTokenizer) -> ReaderExample | None:
    joined = _joined(parts.gold)
    pair = tokenizer.pair(parts.question, joined.title, joined.text)
    gold = parts.record.meta.gold
    if all(answer.lower() in _JUDGED for answer in gold):
        return ReaderExample(pair, answered=True)
    places = [place for answer in gold for place in islice(_places(joined.text, answer), _MOST_PLACES)]
    spans = {span for place in places if (span := _tokens(pair, *place))}
    return ReaderExample(pair, answered=True, answers=tuple(sorted(spans))) if spans else None


def _joined(passages: Sequence[SourcePassage]) -> SourcePassage:
    if len(passages) == 1:
        return passages[0]
    return SourcePassage("", "\n".join(passage.text for passage in passages), passages[0].title)


def _places(text: str, answer: str) -> Iterator[tuple[int, int]]:
    """Yield where the answer stands, as whole words."""
    low, wanted = text.lower(), answer.lower().strip()
    if len(low) != len(text) or not words(answer):
        return
    start = low.find(wanted)
    while start >= 0:
        end = start + len(wanted)
        if not (low[start - 1 : start].isalnum() or low[end : end + 1].isalnum()):
            yield start, end
        start = low.find(wanted, start + 1)


def _tokens(pair: Pair, start: int, end: int) -> tuple[int, int] | None:
    inside = [number for number, (first, last) in enumerate(pair.spans) if first < end and last > start]
    return (pair.first_of_text + inside[0], pair.first_of_text + inside[-1]) if inside else None
