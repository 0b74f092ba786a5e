"""Whether sources say what a claim says: deterministic evidence, one calibrated score.

The score is a logistic function of seven measures that need no model but the embedder. Its
coefficients were fitted by ``benchmarks/groundedness.py``; docs/decisions/0051-citation-verification.md
has the numbers.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from math import exp, log
from typing import Literal

from rag_service.answering.sentence_alignment import Alignment
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.terms import terms_of

Status = Literal["exact", "supported", "unsupported"]
THRESHOLD = 0.5
EXACT_SCORE = 0.98  # a person who finds the very words will hardly call them unfaithful
CONTRADICTED_SCORE = 0.05
INTERCEPT = 0.0
COEFFICIENTS = (1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0)  # in the order of `Evidence`
_WORD = re.compile(r"\w+")
EXACT_WORDS = 4  # a verbatim run of fewer words may be there by chance


@dataclass(frozen=True, slots=True)
class Verification:
    """What checking a claim found; `score` is the probability that a person finds it faithful."""

    status: Status
    score: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """The measures, each from 0 to 1.

    `coverage`: share of the claim's content words in its sources; `support`: in all passages;
    `phrases`: share of its word pairs in any passage; `similarity`: best cosine to a sentence;
    `missing_numbers`, `missing_names`: shares that the sources (the passages) lack; `negation`: 1 if
    only one of claim and source denies.
    """

    coverage: float
    support: float
    phrases: float
    similarity: float
    missing_numbers: float
    missing_names: float
    negation: float


@dataclass(frozen=True, slots=True)
class Ground:
    """What all passages together have, to check claims against."""

    stems: frozenset[str]
    phrases: frozenset[tuple[str, str]]
    words: frozenset[str]
    numbers: frozenset[str]
    known_numbers: frozenset[str]


def ground_of(passages: Sequence[Passage], known_numbers: Collection[str] = ()) -> Ground:
    """Gather what the passages have, titles and headings included.

    `known_numbers` may be used besides, in the form of `numbers_in`: results of the calculator.
    """
    texts = [terms_of(passage.text) for passage in passages]
    places = [terms_of(" ".join((passage.document_title, *passage.heading_path))) for passage in passages]
    every = [*texts, *places]
    return Ground(
        stems=frozenset().union(*(each.stems for each in every)),
        phrases=frozenset().union(*(pairwise(each.stems) for each in every)),
        words=frozenset().union(*(each.words for each in every)),
        numbers=frozenset(known_numbers).union(*(each.numbers | each.number_words for each in every)),
        known_numbers=frozenset(known_numbers),
    )


def weigh(alignment: Alignment, ground: Ground) -> Evidence:
    """Measure how far a claim's sources and passages say it."""
    claim, sources = alignment.terms, [each.terms for each in alignment.sources]
    stems = frozenset(claim.stems)
    said = frozenset().union(*(each.stems for each in sources))
    phrases = frozenset(pairwise(claim.stems))
    numbers = ground.known_numbers.union(*(each.numbers | each.number_words for each in sources))
    return Evidence(
        coverage=_share(stems & said, stems),
        support=_share(stems & ground.stems, stems),
        phrases=_share(phrases & ground.phrases, phrases) if phrases else _share(stems & ground.stems, stems),
        similarity=max(0.0, alignment.similarity),
        missing_numbers=1 - _share(claim.numbers & numbers, claim.numbers),
        missing_names=1 - _share(claim.names & ground.words, claim.names),
        negation=float(bool(sources) and claim.negated != sources[0].negated),
    )


def _share(part: Collection[object], whole: Collection[object]) -> float:
    return len(part) / len(whole) if whole else 1.0


def verify(alignment: Alignment, ground: Ground) -> Verification:
    """Judge one claim.

    A claim that stands word for word in one source sentence is exact. A claim with a number in digits
    that no source of it has, or with a name that no passage has, is unsupported whatever else agrees.
    """
    if not alignment.sources:
        return Verification("unsupported", 0.0)
    evidence = weigh(alignment, ground)
    if _stands_verbatim(alignment):
        return Verification("exact", max(EXACT_SCORE, score_of(evidence)))
    score = score_of(evidence)
    if evidence.missing_numbers or evidence.missing_names:
        score = min(score, CONTRADICTED_SCORE)
    return Verification("supported" if score >= THRESHOLD else "unsupported", score)


def score_of(evidence: Evidence) -> float:
    """Return the probability that a person finds a claim with this evidence faithful."""
    weights = zip(astuple(evidence), COEFFICIENTS, strict=True)
    return 1 / (1 + exp(-(INTERCEPT + sum(value * weight for value, weight in weights))))


def groundedness_of(verifications: Sequence[Verification]) -> float:
    """Return the score of a whole answer: the mean of its claims' log odds, as it was fitted.

    An answer without claims ("You're welcome.") has nothing to be unfaithful in: 1.
    """
    if not verifications:
        return 1.0
    odds = [log(each / (1 - each)) for each in (min(0.999, max(0.001, v.score)) for v in verifications)]
    return 1 / (1 + exp(-sum(odds) / len(odds)))


def _stands_verbatim(alignment: Alignment) -> bool:
    words = _WORD.findall(alignment.claim.text.casefold())
    source = _WORD.findall(alignment.sources[0].text.casefold())
    return len(words) >= EXACT_WORDS and f" {' '.join(words)} " in f" {' '.join(source)} "
