"""How likely the passages answer the question: the score behind the refusal "no evidence".

A cosine alone does not know: a question about the right thing, of which the passages do not say what is
asked, is as near to them as one that they answer. So the best sentences are held against the question:
its words by rarity, its numbers and names, its negation, the kind of answer it asks for. The measures go
into a logistic regression that ``benchmarks/evidence.py`` fits; docs/decisions/0052-evidence-score.md has
the numbers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from math import exp, log

import numpy as np

from corpus.embedding import Embedder
from corpus.sentences import sentence_spans
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import answer_type, has_candidate
from rag_service.retrieval.terms import Terms, terms_of

MOST_EMBEDDED = 32  # sentences whose vectors a question may cost
_BEST = 3  # sentences in which the kind of answer is looked for

INTERCEPT = -5.87
COEFFICIENTS = (2.09, 5.15, 3.13, -2.34, -0.85, -0.71, 0.15)  # in the order of `Signals`
THRESHOLD = 0.21  # refuses 3 in a hundred questions that could be answered


@dataclass(frozen=True, slots=True)
class Signals:
    """What a question finds in the passages.

    `fit`: the best sum of a sentence's cosine and its share of the question's words by rarity (0 to 2);
    `similarity`: the best cosine of a sentence; `gap`: by how much the best passage's cosine is above the
    mean; `missing_numbers`, `missing_names`: shares of the question's that the best sentence's passage
    lacks; `negation`: 1 if only one of question and best sentence denies; `candidate`: 1 if one of the
    best sentences has something of the kind that is asked for.
    """

    fit: float
    similarity: float
    gap: float
    missing_numbers: float
    missing_names: float
    negation: float
    candidate: float


@dataclass(frozen=True, slots=True)
class _Sentence:
    text: str
    terms: Terms
    passage: Terms


def evidence_score(question: str, passages: Sequence[Passage], embedder: Embedder) -> float:
    """Return the probability, 0 to 1, that the passages answer the question; 0 without passages."""
    if not passages:
        return 0.0
    return score_of(measure(question, passages, embedder))


def score_of(signals: Signals) -> float:
    """Return the calibrated probability for some signals."""
    weights = zip(astuple(signals), COEFFICIENTS, strict=True)
    return 1 / (1 + exp(-(INTERCEPT + sum(value * weight for value, weight in weights))))


def measure(question: str, passages: Sequence[Passage], embedder: Embedder) -> Signals:
    """Hold a question against the sentences of the passages, of which there must be at least one."""
    asked = terms_of(question)
    sentences = list(_sentences(passages))
    shares = _shares(asked, sentences)
    nearest = np.argsort(-shares, kind="stable")[:MOST_EMBEDDED]
    vectors = embedder.embed_passages([sentences[each].text for each in nearest])
    cosines = vectors @ embedder.embed_queries([question])[0]
    fits = shares[nearest] + cosines
    order = [sentences[nearest[each]] for each in np.argsort(-fits, kind="stable")]
    kind = answer_type(question)
    return Signals(
        fit=float(fits.max()),
        similarity=float(cosines.max()),
        gap=_gap(passages),
        missing_numbers=_missing(asked.numbers, order[0].passage.numbers | order[0].passage.number_words),
        missing_names=_missing(asked.names, order[0].passage.words),
        negation=float(asked.negated != order[0].terms.negated),
        candidate=float(any(has_candidate(kind, each.terms, asked) for each in order[:_BEST])),
    )


def _sentences(passages: Sequence[Passage]) -> list[_Sentence]:
    found = []
    for passage in passages:
        place = " ".join((passage.document_title, *passage.heading_path))
        whole = terms_of(f"{place}\n{passage.text}")
        spans = sentence_spans(passage.text) or [(0, len(passage.text))]
        texts = [passage.text[start:end] for start, end in spans]
        found += [_Sentence(text, terms_of(text), whole) for text in texts]
    return found


def _shares(asked: Terms, sentences: Sequence[_Sentence]) -> np.ndarray:
    """Return each sentence's share of the question's content words, the rare ones counting more."""
    stems = frozenset(asked.stems)
    own = [stems.intersection(each.terms.stems) for each in sentences]
    weights = _rarity(stems, Counter(stem for some in own for stem in some), len(sentences))
    total = sum(weights.values()) or 1.0
    return np.array([sum(weights[stem] for stem in some) / total for some in own])


def _rarity(stems: frozenset[str], counts: Mapping[str, int], size: int) -> dict[str, float]:
    return {stem: log(1 + size / (1 + counts.get(stem, 0))) for stem in stems}


def _gap(passages: Sequence[Passage]) -> float:
    cosines = [passage.scores.dense for passage in passages if passage.scores.dense is not None]
    return max(cosines) - sum(cosines) / len(cosines) if cosines else 0.0


def _missing(wanted: frozenset[str], there: frozenset[str]) -> float:
    return len(wanted - there) / len(wanted) if wanted else 0.0
