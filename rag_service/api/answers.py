"""`/v1/answers`."""

from collections.abc import Generator, Iterable, Iterator
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel

from corpus.collections import DEFAULT_COLLECTION
from corpus.errors import (
    AnswerNotFound,
    CollectionNotFound,
    EmbedderMismatch,
    InvalidFilter,
    ModelError,
    PromptTooLong,
    QueueFull,
)
from rag_service.answering.answer import AnswerRequest, Event, Found
from rag_service.answering.chat_model import Sampling
from rag_service.answering.citations import Citation
from rag_service.answering.conversation import Message
from rag_service.answering.markers import Delta
from rag_service.answering.tools import ToolCall
from rag_service.api import errors
from rag_service.api.answering import (
    Finished,
    answer_events,
    answer_out,
    citation_out,
    message_of,
    passages_out,
)
from rag_service.api.dependencies import NO_NUL, ServiceDep, require
from rag_service.api.errors import KINDS, problem_document
from rag_service.api.live_text import LiveText
from rag_service.api.openapi import events, problems
from rag_service.api.schemas.answers import (
    AnswerIn,
    AnswerOut,
    DeltaOut,
    FeedbackIn,
    FeedbackOut,
    RetrievalOut,
    ToolCallOut,
)
from rag_service.api.sse import READER_GONE, EventStream, Gone, json_data, last_event, sse_event
from rag_service.feedback import give_feedback
from rag_service.retrieval.filters import parse_filter
from rag_service.service import Service

router = APIRouter(prefix="/v1/answers", tags=["answers"], dependencies=[require("query")])
ANSWER_KINDS = (
    errors.MALFORMED,
    KINDS[CollectionNotFound],
    KINDS[EmbedderMismatch],
    errors.TOO_LARGE,
    errors.INVALID,
    KINDS[InvalidFilter],
    KINDS[PromptTooLong],
    KINDS[QueueFull],
    errors.NOT_READY,
    KINDS[ModelError],
)


@router.post(
    "",
    summary="Answer a question",
    response_model=AnswerOut,
    responses={
        200: events(
            "The answer; with `stream`, events `retrieval`, `tool_call`, `delta`, `citation`, and at the end "
            "`done` with the whole answer, or `error` with a problem document. Deltas are what the model "
            "writes, unchecked; `done` has the checked text."
        ),
        **problems(*ANSWER_KINDS),
    },
)
async def create_answer(question: AnswerIn, request: Request, service: ServiceDep) -> AnswerOut | Response:
    """Find passages, let the model answer from them, check each sentence against its source, and cite it."""
    asked = _request(question)
    if question.stream:
        return EventStream(
            lambda gone: _sse_events(service, asked, gone),
            threads=service.threads.answer,
            error_event=lambda problem: sse_event(json_data(problem_document(problem)), name="error"),
        )
    last = await last_event(request, service.threads.answer, lambda gone: answer_events(service, asked, gone))
    return answer_out(last) if isinstance(last, Finished) else Response(status_code=READER_GONE)


@router.post(
    "/{answer_id}/feedback",
    status_code=201,
    summary="Say what an answer was worth",
    responses=problems(errors.MALFORMED, KINDS[AnswerNotFound], errors.TOO_LARGE, errors.INVALID),
)
def create_feedback(
    answer_id: Annotated[str, Path(max_length=200, pattern=NO_NUL, description="The answer's id.")],
    feedback: FeedbackIn,
    service: ServiceDep,
) -> FeedbackOut:
    """Keep a rating, a comment, or what the answer should have been; with its trace, it can train models."""
    with service.database.write() as session:
        feedback_id = give_feedback(
            session,
            answer_id,
            rating=feedback.rating,
            comment=feedback.comment,
            correction=feedback.correction,
        )
    return FeedbackOut(id=feedback_id, answer_id=answer_id, rating=feedback.rating)


def _sse_events(service: Service, asked: AnswerRequest, gone: Gone) -> Generator[bytes]:
    live = LiveText()
    for event in answer_events(service, asked, gone):
        yield from _sse(event, live)


def _sse(event: Event | Finished, live: LiveText) -> Generator[bytes]:
    if isinstance(event, Found):
        passages = passages_out(event.passages, frozenset())
        yield _named("retrieval", RetrievalOut(passages=passages, generation=event.generation))
    elif isinstance(event, ToolCall):
        yield _named("tool_call", ToolCallOut.model_validate(event))
    elif isinstance(event, Delta):
        yield from _deltas(live.feed(event))
    elif isinstance(event, Finished):
        yield from _deltas(live.flush())
        yield _named("done", answer_out(event))
    elif isinstance(event, Citation):
        yield _named("citation", citation_out(event))


def _deltas(deltas: Iterable[Delta]) -> Iterator[bytes]:
    return (_named("delta", DeltaOut(kind=each.kind, text=each.text)) for each in deltas)


def _named(name: str, data: BaseModel) -> bytes:
    return sse_event(data.model_dump_json(), name=name)


def _request(question: AnswerIn) -> AnswerRequest:
    """Raises InvalidFilter."""
    return AnswerRequest(
        messages=_messages(question),
        collections=tuple(question.collections or (DEFAULT_COLLECTION,)),
        filters=None if question.filters is None else parse_filter(question.filters),
        mode=question.retrieval.mode,
        search=question.retrieval.search,
        top_k=question.retrieval.top_k,
        candidates=question.retrieval.candidates,
        expand=question.retrieval.expand,
        rewrite_query=question.retrieval.rewrite_query,
        sampling=Sampling(
            max_tokens=question.generation.max_tokens,
            temperature=question.generation.temperature,
            seed=question.generation.seed,
        ),
        reasoning=question.generation.reasoning,
        on_no_evidence=question.on_no_evidence,
    )


def _messages(question: AnswerIn) -> tuple[Message, ...]:
    if question.messages is None:
        return (message_of("user", question.question or ""),)
    return tuple(message_of(message.role, message.content) for message in question.messages)
