"""Finds, for each sentence of an answer, the sentences of the documents that say the same."""

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from numpy.typing import NDArray

from corpus.embedding import Embedder
from corpus.sentences import sentence_spans
from rag_service.answering.claims import Claim
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.terms import Terms, terms_of

MOST_SOURCES = 3  # sentences that one claim may rest on
MOST_EMBEDDED = 64  # source sentences whose vectors an answer may cost
LEAST_GAIN = 0.25  # share of a claim's words that a further source must add, two at least
CITED_BONUS = 0.1  # what the model's own marker counts in a choice between sentences
FEW_STEMS = 4  # a claim of fewer content words is read together with the question

_LIST_NUMBER = re.compile(r"\A\s*\(?[0-9]{1,3}[.)]\s+")
_BOLD = re.compile(r"\*\*[^*\n]+\*\*")


@dataclass(frozen=True, slots=True)
class SourceSentence:
    """A sentence of passage number `passage` (from 0); `start` and `end` count in the document.

    `nearby` are the words of the sentence, of the one before it, of the title and of the headings: what
    a "he" or "it" in the sentence may stand for.
    """

    passage: int
    start: int
    end: int
    text: str
    terms: Terms
    nearby: frozenset[str]


@dataclass(frozen=True, slots=True)
class Alignment:
    """A claim with the sentences it rests on, the best one first; `similarity` is the best cosine."""

    claim: Claim
    terms: Terms
    sources: tuple[SourceSentence, ...]
    similarity: float


def source_sentences(passages: Sequence[Passage]) -> list[SourceSentence]:
    """Return all sentences of the passages; where passages overlap, each sentence once."""
    found: dict[tuple[str, int, int], SourceSentence] = {}
    for number, passage in enumerate(passages):
        for sentence in _sentences(number, passage):
            found.setdefault((passage.document_id, sentence.start, sentence.end), sentence)
    return list(found.values())


def _sentences(number: int, passage: Passage) -> Iterator[SourceSentence]:
    place = terms_of(" ".join((passage.document_title, *passage.heading_path))).words
    before: frozenset[str] = frozenset()
    for start, end in sentence_spans(passage.text):
        text = passage.text[start:end]
        terms = terms_of(text)
        yield SourceSentence(
            number, passage.start + start, passage.start + end, text, terms, terms.words | before | place
        )
        before = terms.words


def align(
    claims: Sequence[Claim], sources: Sequence[SourceSentence], embedder: Embedder, *, question: str = ""
) -> list[Alignment]:
    """Return for each claim the source sentences that together say most of it.

    Shared words count by how rare they are among the sources, then the cosine decides. Only the
    `MOST_EMBEDDED` sentences that share most with any claim are embedded.
    """
    if not sources:
        return [Alignment(claim, claim_terms(claim.text, question), (), 0.0) for claim in claims]
    terms = [claim_terms(claim.text, question) for claim in claims]
    weights = _rarity(sources)
    overlaps = np.array([[_overlap(own, each.terms, weights) for each in sources] for own in terms])
    cosines = _cosines(claims, sources, overlaps, embedder, question)
    return [
        _choose(claim, own, sources, overlaps[row], cosines[row])
        for row, (claim, own) in enumerate(zip(claims, terms, strict=True))
    ]


def claim_terms(text: str, question: str = "") -> Terms:
    """Return the terms of a claim; a bare yes or no has its question's.

    Its number in a list counts nothing, nor do the capitals of words in bold: lists begin with both.
    """
    plain = _BOLD.sub(lambda match: match[0].lower(), _LIST_NUMBER.sub("", text))
    terms = terms_of(plain)
    says_nothing = not (terms.stems or terms.numbers or terms.number_words or terms.names)
    return terms_of(f"{plain} {question}") if says_nothing and question else terms


def _rarity(sources: Sequence[SourceSentence]) -> Mapping[str, float]:
    counts = Counter(each for source in sources for each in _tokens(source.terms))
    return {each: log(1 + len(sources) / count) for each, count in counts.items()}


def _tokens(terms: Terms) -> frozenset[str]:
    return frozenset(terms.stems) | terms.numbers | terms.number_words


def _overlap(claim: Terms, source: Terms, weights: Mapping[str, float]) -> float:
    """Return the share of the claim's words, by rarity, that the source has."""
    own, other = _tokens(claim), _tokens(source)
    unseen = max(weights.values(), default=1.0)
    total = sum(weights.get(each, unseen) for each in own)
    return sum(weights[each] for each in own & other) / total if total else 0.0


def _cosines(
    claims: Sequence[Claim],
    sources: Sequence[SourceSentence],
    overlaps: NDArray[np.float64],
    embedder: Embedder,
    question: str,
) -> NDArray[np.float64]:
    """Return cosines, shape (claims, sources); 0 for sentences that were not worth embedding."""
    cosines = np.zeros_like(overlaps)
    if len(claims):
        chosen = np.sort(np.argsort(-overlaps.max(axis=0), kind="stable")[:MOST_EMBEDDED])
        # As passages both: claim and source are statements, neither is a question.
        near = embedder.embed_passages([sources[each].text for each in chosen])
        own = embedder.embed_passages([_in_context(claim.text, question) for claim in claims])
        cosines[:, chosen] = own @ near.T
    return cosines


def _in_context(text: str, question: str) -> str:
    return f"{question} {text}" if question and len(terms_of(text).stems) < FEW_STEMS else text


def _choose(
    claim: Claim,
    terms: Terms,
    sources: Sequence[SourceSentence],
    overlaps: NDArray[np.float64],
    cosines: NDArray[np.float64],
) -> Alignment:
    bonus = np.array([CITED_BONUS if each.passage in claim.cited else 0.0 for each in sources])
    order = np.argsort(-(overlaps + cosines + bonus), kind="stable")
    chosen = [sources[order[0]]]
    for place in order[1:]:
        if len(chosen) < MOST_SOURCES and _adds(sources[place], terms, chosen):
            chosen.append(sources[place])
    return Alignment(claim, terms, tuple(chosen), float(cosines.max()))


def _adds(candidate: SourceSentence, claim: Terms, chosen: Collection[SourceSentence]) -> bool:
    """Whether a sentence says a number or a good part of the claim that the chosen ones leave unsaid."""
    wanted = _tokens(claim)
    missing = wanted.difference(*(_tokens(each.terms) for each in chosen))
    gained = missing & _tokens(candidate.terms)
    return bool(gained & claim.numbers) or len(gained) >= max(2, LEAST_GAIN * len(wanted))
