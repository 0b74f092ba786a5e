"""Whether sources say what a claim says: deterministic evidence, one calibrated score.

The score is a logistic function of six measures that need no model but the embedder. Its
coefficients were fitted by ``benchmarks/groundedness.py``; docs/decisions/0051-citation-verification.md
has the numbers.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from math import exp, log
from typing import Literal

from rag_service.answering.sentence_alignment import Alignment
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.terms import Terms, composed, stem, terms_of

Status = Literal["exact", "supported", "unsupported"]
Entails = Callable[[str, str], float]  # source and claim: the probability that the source says it
Conflict = Literal["number", "name", "negation"]
THRESHOLD = 0.5
EXACT_SCORE = 0.98  # a person who finds the very words will hardly call them unfaithful
CONFLICT_SCORE = 0.3
ALIKE = 0.7  # coverage and similarity from which one negation more or less is a contradiction
INTERCEPT = -2.82
COEFFICIENTS = (2.00, 2.12, 2.27, 2.42, -1.70, -1.31)  # in the order of `Evidence`
_WORD = re.compile(r"\w+")
EXACT_WORDS = 4  # a verbatim run of fewer words may be there by chance


@dataclass(frozen=True, slots=True)
class Verification:
    """What checking a claim found.

    `score` is the probability that a person finds the claim faithful to the passages; `conflicts` says
    in what claim and sources disagree.
    """

    status: Status
    score: float
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """The measures, each from 0 to 1.

    `coverage`: share of the claim's content words in its sources; `support`: in all passages;
    `phrases`: share of its word pairs in any passage; `similarity`: best cosine to a sentence;
    `missing_numbers`: share of its numbers that its sources lack; `missing_names`: share of its names
    that all passages lack.
    """

    coverage: float
    support: float
    phrases: float
    similarity: float
    missing_numbers: float
    missing_names: float


@dataclass(frozen=True, slots=True)
class Ground:
    """What all passages together have, titles and headings included, to check claims against."""

    stems: frozenset[str]
    phrases: frozenset[tuple[str, str]]
    words: frozenset[str]
    known_numbers: frozenset[str]  # need no source: results of the calculator


def ground_of(passages: Sequence[Passage], known_numbers: Collection[str] = ()) -> Ground:
    """Gather what the passages have; `known_numbers` are in the form of `numbers_in`."""
    every = [
        terms_of(text)
        for passage in passages
        for text in (passage.text, " ".join((passage.document_title, *passage.heading_path)))
    ]
    return Ground(
        stems=frozenset().union(*(each.stems for each in every)),
        phrases=frozenset().union(*(pairwise(each.stems) for each in every)),
        words=frozenset().union(*(each.words for each in every)),
        known_numbers=frozenset(known_numbers),
    )


def verify(alignment: Alignment, ground: Ground, entails: Entails | None = None) -> Verification:
    """Judge one claim.

    A claim that stands word for word in a source is exact. One whose numbers, names or negation disagree
    with its sources is unsupported, whatever else agrees; else the score decides, or in its place a model
    for entailment.
    """
    if not alignment.sources:
        return Verification("unsupported", 0.0)
    evidence = weigh(alignment, ground)
    score = score_of(evidence)
    if _stands_verbatim(alignment):
        return Verification("exact", max(EXACT_SCORE, score))
    conflicts = tuple(_conflicts(alignment, evidence))
    if conflicts:
        return Verification("unsupported", min(score, CONFLICT_SCORE), conflicts)
    if entails is not None:
        score = entails(" ".join(each.text for each in alignment.sources), alignment.claim.text)
    return Verification("supported" if score >= THRESHOLD else "unsupported", score)


def weigh(alignment: Alignment, ground: Ground) -> Evidence:
    """Measure how far a claim's sources and passages say it."""
    claim, sources = alignment.terms, [each.terms for each in alignment.sources]
    stems, phrases = frozenset(claim.stems), frozenset(pairwise(claim.stems))
    said = frozenset().union(*(each.stems for each in sources))
    numbers = ground.known_numbers.union(*(each.numbers | each.number_words for each in sources))
    support = _share(stems & ground.stems, stems)
    return Evidence(
        coverage=_share(stems & said, stems),
        support=support,
        phrases=_share(phrases & ground.phrases, phrases) if phrases else support,
        similarity=max(0.0, alignment.similarity),
        missing_numbers=1 - _share(claim.numbers & numbers, claim.numbers),
        missing_names=_share(unknown_names(claim, ground), claim.names) if claim.names else 0.0,
    )


def score_of(evidence: Evidence) -> float:
    """Return the probability that a person finds a claim with this evidence faithful."""
    weights = zip(astuple(evidence), COEFFICIENTS, strict=True)
    return _logistic(INTERCEPT + sum(value * weight for value, weight in weights))


def groundedness_of(verifications: Sequence[Verification]) -> float:
    """Return the score of a whole answer: the mean of its claims' log odds, as it was fitted.

    An answer without claims ("You're welcome.") has nothing to be unfaithful in: 1.
    """
    if not verifications:
        return 1.0
    scores = [min(0.999, max(0.001, each.score)) for each in verifications]
    return _logistic(sum(log(score / (1 - score)) for score in scores) / len(scores))


def _logistic(odds: float) -> float:
    return 1 / (1 + exp(-odds))


def _share(part: Collection[object], whole: Collection[object]) -> float:
    return len(part) / len(whole) if whole else 1.0


def unknown_names(claim: Terms, ground: Ground) -> frozenset[str]:
    """Return the names that no passage has, nor a title; a name may have another ending there."""
    return frozenset(name for name in claim.names - ground.words if stem(name) not in ground.stems)


def _conflicts(alignment: Alignment, evidence: Evidence) -> Iterator[Conflict]:
    claim, source = alignment.terms, alignment.sources[0]
    if evidence.missing_numbers:
        yield "number"
    if evidence.missing_names or _names_another(alignment):
        yield "name"
    alike = evidence.coverage >= ALIKE and evidence.similarity >= ALIKE
    if alike and claim.negated != source.terms.negated and not _is_fragment(alignment):
        yield "negation"


def _names_another(alignment: Alignment) -> bool:
    """Whether the best source says of somebody else what the claim says of a name that it has not.

    A claim may join two sentences, so a further source clears the name if it says more than the name.
    """
    claim, best, *further = alignment.terms, *alignment.sources
    strange = claim.names - best.nearby
    if not strange or not best.terms.names - claim.words:
        return False
    unsaid = set(claim.stems) - set(best.terms.stems) - {stem(name) for name in claim.names}
    return not any(strange & each.terms.words and unsaid & set(each.terms.stems) for each in further)


def _stands_verbatim(alignment: Alignment) -> bool:
    words = _words(alignment.claim.text)
    return len(words) >= EXACT_WORDS and _runs_in_source(words, alignment)


def _is_fragment(alignment: Alignment) -> bool:
    """Whether a claim is a few words of its source, which affirm nothing that the source denies.

    "-45 °C" is a fair answer from "No engine is started below -45 °C".
    """
    words = _words(alignment.claim.text)
    short = len(words) < EXACT_WORDS and not alignment.terms.negated
    return short and _runs_in_source(words, alignment)


def _runs_in_source(words: Sequence[str], alignment: Alignment) -> bool:
    return f" {' '.join(words)} " in f" {' '.join(_words(alignment.sources[0].text))} "


def _words(text: str) -> list[str]:
    return _WORD.findall(composed(text).casefold())
