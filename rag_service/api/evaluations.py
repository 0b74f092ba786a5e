"""`/v1/admin/evaluations`: the service, judged by questions whose right answers are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated

import anyio
from fastapi import APIRouter, Body, Request, Response
from fastapi.openapi.models import Example

from corpus.collections import find_collection
from corpus.errors import CollectionNotFound, EmbedderMismatch, ModelError, PromptTooLong, QueueFull
from rag_service.answering.answer import AnswerRequest
from rag_service.answering.chat_model import Sampling
from rag_service.api import errors
from rag_service.api.answering import message_of
from rag_service.api.dependencies import ServiceDep, require
from rag_service.api.errors import KINDS
from rag_service.api.evaluation_reports import answers_out, retrieval_out
from rag_service.api.openapi import problems
from rag_service.api.schemas.answers import MessageIn
from rag_service.api.schemas.evaluations import (
    AnswersEvaluationOut,
    NewAnswerQuestion,
    NewAnswersEvaluation,
    NewEvaluation,
    NewRetrievalEvaluation,
    RetrievalEvaluationOut,
)
from rag_service.api.sse import READER_GONE, Gone, while_wanted
from rag_service.evaluation.answers import Outcome, Reply
from rag_service.evaluation.asking import ask_answerer
from rag_service.evaluation.gold_documents import GoldDocument, find_gold
from rag_service.evaluation.questions import Evidence, Question
from rag_service.evaluation.replies import Ask
from rag_service.evaluation.searching import SearchQuestion, search_every_way
from rag_service.service import Service

router = APIRouter(prefix="/v1/admin", tags=["administration"], dependencies=[require("admin")])
_EXAMPLES: dict[str, Example] = {
    "retrieval": {
        "summary": "Are the documents found?",
        "value": {
            "kind": "retrieval",
            "questions": [{"question": "Who keeps the generators?", "documents": ["handbook.md"]}],
        },
    },
    "answers": {
        "summary": "Are the answers right, and cited?",
        "value": {
            "kind": "answers",
            "questions": [
                {
                    "question": "Who keeps the generators?",
                    "answers": ["Orson Kovacs"],
                    "gold_documents": ["handbook.md"],
                    "gold_quotes": ["Orson Kovacs keeps the generators."],
                },
                {"question": "Who paid for the generators?", "answerable": False},
            ],
        },
    },
}


@router.post(
    "/evaluations",
    summary="Judge search or answers",
    response_model=RetrievalEvaluationOut | AnswersEvaluationOut,
    responses=problems(
        errors.MALFORMED,
        KINDS[CollectionNotFound],
        KINDS[EmbedderMismatch],
        errors.TOO_LARGE,
        errors.INVALID,
        KINDS[PromptTooLong],
        KINDS[QueueFull],
        errors.NOT_READY,
        KINDS[ModelError],
    ),
)
async def evaluate(
    new: Annotated[NewEvaluation, Body(openapi_examples=_EXAMPLES)], request: Request, service: ServiceDep
) -> RetrievalEvaluationOut | AnswersEvaluationOut | Response:
    """Search for each question, or answer it, and say how well; it takes as long as all of them take.

    Questions wait for their turn like those of others, one at a time. Nothing is kept: no traces are left.
    """
    done: RetrievalEvaluationOut | AnswersEvaluationOut | None
    if isinstance(new, NewRetrievalEvaluation):
        done = await while_wanted(request, lambda _gone: _evaluate_retrieval(service, new))
    else:
        async with service.threads.answer.place():  # one for all questions: the queue is full now, or never
            done = await while_wanted(request, lambda gone: _evaluate_answers(service, new, gone))
    return Response(status_code=READER_GONE) if done is None else done


async def _evaluate_retrieval(service: Service, new: NewRetrievalEvaluation) -> RetrievalEvaluationOut:
    """Each question is a search of its own, so that others come in between."""
    retriever = service.retriever.get()
    collection, questions = await service.threads.run_search(partial(_search_questions, service, new))
    rankings = [
        await service.threads.run_search(
            partial(search_every_way, retriever, question, collection=collection)
        )
        for question in questions
    ]
    return await service.threads.run_search(partial(retrieval_out, collection, questions, rankings))


def _search_questions(service: Service, new: NewRetrievalEvaluation) -> tuple[str, list[SearchQuestion]]:
    """Return the collection's name, and the questions with their documents looked up."""
    with service.database.read() as session:
        collection = find_collection(session, new.collection)
        return collection.name, [
            SearchQuestion(
                each.question, tuple(each.documents), find_gold(session, collection.id, each.documents)
            )
            for each in new.questions
        ]


async def _evaluate_answers(service: Service, new: NewAnswersEvaluation, gone: Gone) -> AnswersEvaluationOut:
    """Each question waits for a thread like any answer; all are asked of the model that was there first."""
    answerer, model = service.answerer.get(), service.chat_model.get().name
    prepared = await anyio.to_thread.run_sync(_prepare, service, new)
    ask = partial(_reply, service, ask_answerer(answerer, prepared.like, cancelled=gone))
    limiter = service.threads.answer.limiter
    outcomes = [
        Outcome(each, await anyio.to_thread.run_sync(ask, each, limiter=limiter))
        for each in prepared.questions
    ]
    report = partial(answers_out, prepared.collection, model, outcomes, prepared.missing)
    return await anyio.to_thread.run_sync(report)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """The questions of an evaluation, how they are asked, and which of their documents there are not."""

    collection: str
    like: AnswerRequest
    questions: list[Question]
    missing: list[list[str]]


def _prepare(service: Service, new: NewAnswersEvaluation) -> _Prepared:
    with service.database.read() as session:
        collection = find_collection(session, new.collection)
        gold = [find_gold(session, collection.id, each.gold_documents) for each in new.questions]
        return _Prepared(
            collection.name,
            AnswerRequest(
                (),
                collections=(collection.id,),
                sampling=Sampling(max_tokens=new.max_tokens),
                description=collection.description,
            ),
            [
                _question(number, *each)
                for number, each in enumerate(zip(new.questions, gold, strict=True), 1)
            ],
            [
                [name for name in each.gold_documents if name not in found]
                for each, found in zip(new.questions, gold, strict=True)
            ],
        )


def _question(number: int, new: NewAnswerQuestion, gold: Mapping[str, GoldDocument]) -> Question:
    turns = new.messages or [MessageIn(role="user", content=new.question or "")]
    names = [gold[name].name if name in gold else name for name in new.gold_documents]
    return Question(
        id=new.id or str(number),
        kind=new.kind,
        messages=tuple(message_of(turn.role, turn.content) for turn in turns),
        answers=tuple(new.answers),
        evidence=tuple(Evidence(*pair) for pair in zip(names, new.gold_quotes, strict=True)),
        expression=new.expression,
    )


def _reply(service: Service, ask: Ask, question: Question) -> Reply:
    """Raises PromptTooLong with the question's id: nobody could guess which one it was."""
    service.metrics.answer_started()
    try:
        return ask(question, "always")
    except PromptTooLong as error:
        raise PromptTooLong(f"Question {question.id!r}: {error}") from error
    finally:
        service.metrics.answer_ended()
