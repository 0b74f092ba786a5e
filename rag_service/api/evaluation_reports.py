"""Evaluations as they are sent."""

from collections.abc import Iterator, Mapping, Sequence

from rag_service.api.schemas.evaluations import (
    AnsweredQuestionOut,
    AnswersEvaluationOut,
    JudgedCitationOut,
    MeasureOut,
    RankedDocumentOut,
    RankingOut,
    RetrievalEvaluationOut,
    SearchedQuestionOut,
)
from rag_service.evaluation.answers import Outcome, is_right, right_citations, score
from rag_service.evaluation.measures import Estimate
from rag_service.evaluation.searching import (
    FoundDocument,
    Rankings,
    SearchQuestion,
    first_rank,
    score_searches,
)
from rag_service.retrieval.search import Mode

_WAYS: tuple[Mode, ...] = ("hybrid", "dense", "lexical")
_SHOWN = 10  # documents of a ranking


def retrieval_out(
    collection: str, questions: Sequence[SearchQuestion], rankings: Sequence[Rankings]
) -> RetrievalEvaluationOut:
    """Return the measures of each way to search, and what each question found."""
    scores = {each.name: each.measures for each in score_searches(questions, rankings)}
    return RetrievalEvaluationOut(
        collection=collection,
        measures=[each for way in _WAYS for each in _measures(scores[way], way)],
        questions=[_searched(*each) for each in zip(questions, rankings, strict=True)],
    )


def answers_out(
    collection: str, model: str, outcomes: Sequence[Outcome], missing: Sequence[list[str]]
) -> AnswersEvaluationOut:
    """Return the measures over all questions, and what each was answered."""
    return AnswersEvaluationOut(
        collection=collection,
        model=model,
        measures=list(_measures(score(outcomes)[0].measures, None)),
        questions=[_answered(*each) for each in zip(outcomes, missing, strict=True)],
    )


def _measures(measures: Mapping[str, Estimate], way: Mode | None) -> Iterator[MeasureOut]:
    for name, found in measures.items():
        yield MeasureOut(
            name=name, search=way, value=found.value, low=found.low, high=found.high, items=found.count
        )


def _searched(question: SearchQuestion, rankings: Rankings) -> SearchedQuestionOut:
    return SearchedQuestionOut(
        question=question.text,
        documents=list(question.documents),
        missing=[name for name in question.documents if name not in question.gold],
        rankings=[_ranking(question, way, rankings[way]) for way in _WAYS],
    )


def _ranking(question: SearchQuestion, way: Mode, ranking: Sequence[FoundDocument]) -> RankingOut:
    rank = first_rank(question, ranking)
    return RankingOut(
        search=way,
        rank=rank,
        right=rank is not None and rank <= _SHOWN,
        found=[
            RankedDocumentOut(
                document_id=each.document_id,
                external_id=each.external_id,
                document_title=each.document_title,
                right=each.document_id in question.gold_ids,
            )
            for each in ranking[:_SHOWN]
        ],
    )


def _answered(outcome: Outcome, missing: list[str]) -> AnsweredQuestionOut:
    question, reply = outcome.question, outcome.reply
    right = right_citations(outcome)
    return AnsweredQuestionOut(
        id=question.id,
        kind=question.kind,
        question=question.text,
        answers=list(question.answers),
        missing=missing,
        answer=reply.text,
        status="refused" if reply.refused else "answered",
        reason=reply.reason,
        right=is_right(outcome) if question.answerable else reply.refused,
        citations=[
            JudgedCitationOut(document=each.document, quote=each.quote, right=each in right)
            for each in reply.citations
        ],
        seconds=round(reply.seconds, 3),
    )
