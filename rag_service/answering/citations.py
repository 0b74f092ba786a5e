"""Citations that can be checked: each sentence of an answer, held against the passages.

The model's own markers are hints. Every sentence is aligned with the sentences of all passages; one that
is supported cites these, whether the model named them, named others or named none; one that is not
supported loses its marker and is reported.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from corpus.embedding import Embedder
from rag_service.answering.citation_markers import put_markers, take_markers
from rag_service.answering.claims import find_claims
from rag_service.answering.sentence_alignment import (
    Alignment,
    SourceSentence,
    align,
    source_sentences,
)
from rag_service.answering.verification import Entails, Verification, ground_of, groundedness_of, verify
from rag_service.retrieval.passages import Passage

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Citation:
    """``[id]`` of the answer: its sentence ``answer[start:end]`` rests on ``quote``.

    `source_start` and `source_end` count in the document: ``content[source_start:source_end] == quote``.
    `page` is the one on which the passage begins, until `pages.on_their_pages` has looked up the quote's.
    """

    id: int
    start: int
    end: int
    passage: Passage
    source_start: int
    source_end: int
    quote: str
    verification: Verification
    page: int | None


@dataclass(frozen=True, slots=True)
class Groundedness:
    """How faithful an answer is to the passages, and the spans of it that nothing supports."""

    score: float
    unsupported_spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class CitedAnswer:
    """An answer in which every ``[n]`` is the id of one of `citations`, numbered from 1 in order."""

    text: str
    citations: tuple[Citation, ...]
    groundedness: Groundedness


def cite_answer(
    answer: str,
    passages: Sequence[Passage],
    embedder: Embedder,
    *,
    question: str = "",
    known_numbers: Collection[str] = (),
    entails: Entails | None = None,
    rests_on: Collection[tuple[str, str]] = (),
) -> CitedAnswer:
    """Check an answer against the numbered passages of its prompt, and cite what holds.

    Args:
        answer: what the model wrote; ``[n]`` means ``passages[n - 1]``.
        passages: as numbered in the prompt, from 1.
        embedder: compares sentences.
        question: gives short answers ("In 2019") their context.
        known_numbers: may be used without a source, such as results of the calculator, in the form that
            `rag_service.retrieval.numbers.numbers_in` gives.
        entails: a model that judges in the place of the calibrated score.
        rests_on: sentences without which the answer does not follow, each behind its document's id; what
            holds cites them too, as supporting it and no more.
    """
    plain, markers = take_markers(answer.strip())
    claims = list(find_claims(plain, markers, len(passages)))
    ground = ground_of(passages, known_numbers)
    sources = source_sentences(passages)
    alignments = align(claims, sources, embedder, question=question)
    verified = [(each, verify(each, ground, entails)) for each in alignments]
    beside = [each for each in sources if (passages[each.passage].document_id, each.text) in rests_on]
    return _assemble(plain, verified, beside, passages)


def cite_sentences(
    answer: str, passages: Sequence[Passage], rests_on: Mapping[tuple[str, str], float]
) -> CitedAnswer | None:
    """Cite for an answer of one sentence the sentences that it was worked out from; None: one is no sentence.

    These stand behind their documents' ids, before how likely each says what was taken from it, 0 to 1.
    """
    found: dict[tuple[str, str], SourceSentence] = {}
    for each in source_sentences(passages):
        place = (passages[each.passage].document_id, each.text)
        if place in rests_on:
            found.setdefault(place, each)
    if len(found) < len(rests_on):  # cut off at a passage's edge
        return None
    text, spans = put_markers(answer, {(0, len(answer)): range(1, len(found) + 1)})
    (span,) = spans.values()
    citations = [
        _citation(number, span, source, passages, Verification("supported", rests_on[place]))
        for number, (place, source) in enumerate(found.items(), start=1)
    ]
    return CitedAnswer(text, tuple(citations), Groundedness(min(rests_on.values()), ()))


def _assemble(
    plain: str,
    verified: Sequence[tuple[Alignment, Verification]],
    beside: Sequence[SourceSentence],
    passages: Sequence[Passage],
) -> CitedAnswer:
    numbered: dict[Span, list[tuple[int, SourceSentence, Verification]]] = {}
    count = 0
    for alignment, verification in verified:
        own = numbered.setdefault((alignment.claim.start, alignment.claim.end), [])
        if verification.status != "unsupported":
            others = [each for each in beside if each not in alignment.sources]
            supporting = replace(verification, status="supported")
            for source in (*alignment.sources, *others):
                count += 1
                own.append((count, source, supporting if source in others else verification))
    text, spans = put_markers(plain, {span: [number for number, *_ in own] for span, own in numbered.items()})
    citations = [
        _citation(number, spans[span], source, passages, verification)
        for span, own in numbered.items()
        for number, source, verification in own
    ]
    unsupported = tuple(spans[span] for span, own in numbered.items() if not own)
    score = groundedness_of([verification for _, verification in verified])
    return CitedAnswer(text, tuple(citations), Groundedness(score, unsupported))


def _citation(
    number: int, span: Span, source: SourceSentence, passages: Sequence[Passage], verification: Verification
) -> Citation:
    return Citation(
        id=number,
        start=span[0],
        end=span[1],
        passage=passages[source.passage],
        source_start=source.start,
        source_end=source.end,
        quote=source.text,
        verification=verification,
        page=passages[source.passage].page,
    )


def cut_before(
    text: str, citations: Sequence[Citation], stops: Collection[str]
) -> tuple[str, tuple[Citation, ...]]:
    """Return a checked answer up to the first of the `stops`, with the citations whose markers are left.

    A marker that the end would cut in two is left out.
    """
    end = min([text.find(stop) for stop in stops if stop in text], default=len(text))
    markers = {citation.id: f"[{citation.id}]" for citation in citations}
    for marker in markers.values():
        if 0 <= (start := text.find(marker)) < end < start + len(marker):
            end = start
    kept = text[:end]
    left = [citation for citation in citations if markers[citation.id] in kept]
    return kept, tuple(replace(citation, end=min(citation.end, end)) for citation in left)
