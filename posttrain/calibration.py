"""How far the service's evidence score can be trusted: of what it calls likely, how much is there?"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from corpus.embedding import Embedder
from posttrain.asking import as_retrieved
from posttrain.data.grounded import Grounded, grounded_of
from rag_service.answering.conversation import Record
from rag_service.evaluation.measures import Estimate, estimate, overlaps
from rag_service.retrieval.evidence import evidence_score
from rag_service.retrieval.passages import Passage

Search = Callable[[str], Sequence[Passage]]
NEAR_MISS = "-near-miss"  # ends the id of a record whose gold passage was taken away
_BINS = 10


@dataclass(frozen=True, slots=True)
class Judged:
    """A question: how likely the passages were said to answer it, and whether they do."""

    score: float
    there: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Questions of like score: the mean score, and the share that the passages do answer."""

    score: float
    there: Estimate


def judge_evidence(
    records: Iterable[Record], embedder: Embedder, search: Search | None = None
) -> Iterator[Judged]:
    """Yield each question with passages: the record's own, or what `search` finds in a collection.

    In a collection that has all passages, a record whose gold passage was taken away says nothing of what
    is there; those are left out.
    """
    for record in records:
        parts = grounded_of(record)
        if parts is None or (search and record.id.endswith(NEAR_MISS)):
            continue
        passages = (
            search(parts.question)
            if search
            else [as_retrieved(number, passage) for number, passage in enumerate(parts.passages)]
        )
        yield Judged(evidence_score(parts.question, passages, embedder), is_found(parts, passages))


def is_found(parts: Grounded, passages: Iterable[Passage]) -> bool:
    """Whether a gold passage, or the larger part of one, is among the passages."""
    return any(overlaps(passage.text, gold.text) for passage in passages for gold in parts.gold)


def brier_score(judged: Iterable[Judged]) -> Estimate:
    """Return the mean squared distance of score and truth (Brier 1950): 0 is best, 0.25 what 0.5 gets."""
    return estimate([((each.score - each.there) ** 2, 1.0) for each in judged])


def bins_of(judged: Iterable[Judged]) -> list[Bin]:
    """Return up to ten bins of as many questions each, the least likely first."""
    ranked = sorted(judged, key=lambda each: each.score)
    count = min(_BINS, len(ranked))
    bounds = [len(ranked) * n // count for n in range(count + 1)] if count else []
    groups = [ranked[start:end] for start, end in pairwise(bounds)]
    return [
        Bin(
            sum(each.score for each in group) / len(group),
            estimate([(float(each.there), 1.0) for each in group]),
        )
        for group in groups
    ]
