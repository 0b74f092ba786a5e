"""Short passages for short runs: a few sentences in a row, around the answer or at random.

A passage of a hundred words teaches as much about reading as one of three hundred, at a third of the
tokens; and the service's own passages are often as short.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from corpus.sentences import sentence_spans
from posttrain.data.distractors import PassagePool
from posttrain.data.grounded import Grounded, grounded_of, refused, with_passages
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.evaluation.measures import contains_gold

# A small model is not to rely on one form of title: the service adds headings where there are any.
_HEADINGS = ("Overview", "History", "1 Introduction", "Background", "Details", "2 Notes", "Summary", "Facts")


@dataclass(frozen=True, slots=True)
class Excerpting:
    """How long excerpts are, in words, and how many stand side by side, by their weights from one on."""

    fewest_words: int = 25
    most_words: int = 65
    counts: tuple[float, ...] = (0.5, 0.28, 0.14, 0.08)
    whole: float = 0.02  # share of passages that stay as long as they are
    headings: float = 0.25


def excerpt(passage: SourcePassage, answers: Sequence[str], how: Excerpting, random: Random) -> SourcePassage:
    """Return sentences of the passage, among them the first that holds an answer, if any does."""
    spans = sentence_spans(passage.text)
    if len(spans) <= 1 or random.random() < how.whole:
        return _titled(passage, how, random)
    texts = [passage.text[start:end] for start, end in spans]
    holding = [number for number, text in enumerate(texts) if answers and contains_gold(text, answers)]
    if answers and not holding:
        return _titled(passage, how, random)  # the answer goes over a sentence's end
    first = last = holding[0] if holding else random.randrange(len(spans))
    room = random.randint(how.fewest_words, how.most_words) - len(texts[first].split())
    while room > 0 and (first > 0 or last < len(spans) - 1):
        forward = last < len(spans) - 1 and (first == 0 or random.random() < 0.5)  # noqa: PLR2004 - a coin
        first, last = (first, last + 1) if forward else (first - 1, last)
        room -= len(texts[last if forward else first].split())
    return _titled(replace(passage, text=passage.text[spans[first][0] : spans[last][1]]), how, random)


def in_excerpts(
    record: Record,
    pool: PassagePool,
    how: Excerpting,
    random: Random,
    *,
    loses_gold: bool = False,
    old: Sequence[str] = (),
) -> Record | None:
    """Return the record over excerpts, its own among near misses; None if it is of another shape.

    With `loses_gold` its own passages go and the reply is a refusal. `old` are answers of before its passage
    was changed, which no near miss may hold.
    """
    parts = grounded_of(record)
    if parts is None:
        return None
    (count,) = random.choices(range(1, len(how.counts) + 1), how.counts)
    own = [] if loses_gold else [excerpt(each, _told(parts, each), how, random) for each in parts.passages]
    near = pool.near_misses(parts, max(count, len(own)) - len(own), random, besides=old)
    passages = own + [excerpt(each, (), how, random) for each in near]
    random.shuffle(passages)
    if not passages:
        return None
    return refused(parts, passages, suffix="near-miss") if loses_gold else with_passages(parts, passages)


def _told(parts: Grounded, passage: SourcePassage) -> tuple[str, ...]:
    return parts.record.meta.gold if passage.id in parts.record.meta.gold_passages else ()


def _titled(passage: SourcePassage, how: Excerpting, random: Random) -> SourcePassage:
    if not passage.title or random.random() >= how.headings:
        return passage
    return replace(passage, title=f"{passage.title} > {random.choice(_HEADINGS)}")
