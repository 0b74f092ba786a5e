"""How well questions are answered, refused and cited: each question with retrieval and without.

The measures are shares over questions. Which questions count for which measure:

=====================  ==================  ====================================================
measure                over                share of
=====================  ==================  ====================================================
exact match, F1        answerable          the answer against the gold answers (SQuAD); a refusal
                                           scores 0
contains gold          answerable          answers in which a gold answer stands word for word
refusal precision      refused             unanswerable questions
refusal recall         unanswerable        refused ones
over-refusal           answerable          refused ones
hallucination          unanswerable        answered ones
wrong when answering   answered            unanswerable ones, and answers without a gold answer
citation precision     answers that cite   their right citations
citation recall        answered,           their sentences that carry a right citation
                       answerable
evidence recall        answerable          their gold sentences that a right citation points at
right and cited        answerable          answers that contain gold and carry a right citation
=====================  ==================  ====================================================

Citation precision and recall are those of ALCE (Gao et al. 2023, section 3): precision asks of each
citation whether it supports its answer, recall asks of each statement whether it is supported; both
are averages over answers. Where ALCE asks an entailment model, we ask the gold evidence: a citation
is right if it is from a gold document and its quote overlaps that document's gold sentence (the
longest run of words that they share is at least half of the shorter one, and at least four words) or
contains a gold answer.
Statements are sentences. So a true sentence about something that was not asked counts as unsupported,
and each citation under an answer to an unanswerable question is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from corpus.sentences import sentence_spans
from rag_service.evaluation.measures import (
    Estimate,
    contains_gold,
    estimate,
    exact_match,
    overlaps,
    token_f1,
    without_markers,
)
from rag_service.evaluation.questions import Evidence, Question

Mode = Literal["always", "never"]  # retrieval before the answer, or the parameters alone
MODES: tuple[Mode, ...] = ("always", "never")
ALL_KINDS = "all"
Share = tuple[float, float]  # one question's numerator and denominator; (0, 0) does not count


@dataclass(frozen=True, slots=True)
class Citation:
    """Characters `start` to `end` of the answer, a sentence or a marker, and the source they rest on."""

    start: int
    end: int
    document: str
    quote: str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the service replied. `document` of the citations is the document's external id."""

    text: str
    refused: bool
    citations: tuple[Citation, ...] = ()
    reason: str | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A question and the reply to it."""

    question: Question
    reply: Reply


@dataclass(frozen=True, slots=True)
class Scores:
    """The measures over the questions of one kind; `ALL_KINDS` is every question."""

    kind: str
    questions: int
    measures: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class ModeReport:
    """One mode's outcomes in the order of the questions, and its scores: all, then each kind."""

    mode: Mode
    outcomes: tuple[Outcome, ...]
    scores: tuple[Scores, ...]


def evaluate_answers(
    questions: Sequence[Question],
    ask: Callable[[Question, Mode], Reply],
    *,
    modes: Sequence[Mode] = MODES,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[ModeReport, ...]:
    """Ask each question in each mode and score the replies.

    `progress` is called with the number of replies so far and in all, first with none. The scores
    depend on the replies alone.
    """
    total = len(questions) * len(modes)
    outcomes: dict[Mode, list[Outcome]] = {mode: [] for mode in modes}
    progress(0, total)
    for number, question in enumerate(questions):
        for step, mode in enumerate(modes, start=1):
            outcomes[mode].append(Outcome(question, ask(question, mode)))
            progress(number * len(modes) + step, total)
    return tuple(ModeReport(mode, tuple(found), score(found)) for mode, found in outcomes.items())


def score(outcomes: Sequence[Outcome]) -> tuple[Scores, ...]:
    """Return the scores over all outcomes, then over each kind in order of first appearance."""
    kinds = dict.fromkeys(outcome.question.kind for outcome in outcomes)
    groups = {ALL_KINDS: list(outcomes)}
    groups |= {kind: [each for each in outcomes if each.question.kind == kind] for kind in kinds}
    return tuple(
        Scores(
            kind,
            len(group),
            {name: estimate([measure(each) for each in group]) for name, measure in MEASURES.items()},
        )
        for kind, group in groups.items()
    )


def _over(applies: bool, value: float) -> Share:  # noqa: FBT001 - a condition, not an option
    return (value, 1.0) if applies else (0.0, 0.0)


def _answered(outcome: Outcome, value: float) -> Share:
    """Score an answerable question, where a refusal is worth nothing."""
    return _over(outcome.question.answerable, 0.0 if outcome.reply.refused else value)


def _exact_match(outcome: Outcome) -> Share:
    answer = without_markers(outcome.reply.text)
    return _answered(outcome, exact_match(answer, outcome.question.answers))


def _f1(outcome: Outcome) -> Share:
    return _answered(outcome, token_f1(without_markers(outcome.reply.text), outcome.question.answers))


def _contains_gold(outcome: Outcome) -> Share:
    return _answered(outcome, is_right(outcome))


def is_right(outcome: Outcome) -> bool:
    """Whether the question was answered and the answer contains a gold answer."""
    answer = without_markers(outcome.reply.text)
    return not outcome.reply.refused and contains_gold(answer, outcome.question.answers)


def _refusal_precision(outcome: Outcome) -> Share:
    return _over(outcome.reply.refused, not outcome.question.answerable)


def _refusal_recall(outcome: Outcome) -> Share:
    return _over(not outcome.question.answerable, outcome.reply.refused)


def _over_refusal(outcome: Outcome) -> Share:
    return _over(outcome.question.answerable, outcome.reply.refused)


def _hallucination(outcome: Outcome) -> Share:
    return _over(not outcome.question.answerable, not outcome.reply.refused)


def _wrong_when_answering(outcome: Outcome) -> Share:
    return _over(not outcome.reply.refused, not is_right(outcome))


def _citation_precision(outcome: Outcome) -> Share:
    citations = outcome.reply.citations
    if not citations:
        return (0.0, 0.0)
    return (len(right_citations(outcome)) / len(citations), 1.0)


def _citation_recall(outcome: Outcome) -> Share:
    if outcome.reply.refused or not outcome.question.answerable:
        return (0.0, 0.0)
    text = outcome.reply.text
    sentences = sentence_spans(without_markers(text))
    # What is cited is the sentence before the end of the span; its marker may stand behind the full stop.
    marks = [len(without_markers(text[: each.end]).rstrip()) for each in right_citations(outcome)]
    supported = [any(start < mark <= end for mark in marks) for start, end in sentences]
    return (sum(supported) / len(supported), 1.0) if supported else (0.0, 0.0)


def _evidence_recall(outcome: Outcome) -> Share:
    question = outcome.question
    found = [
        any(_points_at(each, one, question.answers) for each in outcome.reply.citations)
        for one in question.evidence
    ]
    return _answered(outcome, sum(found) / len(found) if found else 0.0)


def _right_and_cited(outcome: Outcome) -> Share:
    return _answered(outcome, is_right(outcome) and bool(right_citations(outcome)))


def right_citations(outcome: Outcome) -> list[Citation]:
    """Return the citations that point at gold evidence, by the module's definition."""
    question = outcome.question
    return [
        citation
        for citation in outcome.reply.citations
        if any(_points_at(citation, evidence, question.answers) for evidence in question.evidence)
    ]


def _points_at(citation: Citation, evidence: Evidence, answers: Sequence[str]) -> bool:
    if citation.document != evidence.document:
        return False
    return overlaps(citation.quote, evidence.quote) or contains_gold(citation.quote, answers)


MEASURES: Mapping[str, Callable[[Outcome], Share]] = {
    "exact match": _exact_match,
    "F1": _f1,
    "contains gold": _contains_gold,
    "refusal precision": _refusal_precision,
    "refusal recall": _refusal_recall,
    "over-refusal": _over_refusal,
    "hallucination": _hallucination,
    "wrong when answering": _wrong_when_answering,
    "citation precision": _citation_precision,
    "citation recall": _citation_recall,
    "evidence recall": _evidence_recall,
    "right and cited": _right_and_cited,
}
