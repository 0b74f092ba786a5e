"""`/v1/chat/completions`, as OpenAI's clients call it."""

import re
import secrets
import time
from collections.abc import Generator, Sequence

from fastapi import APIRouter, Request, Response

from corpus.collections import DEFAULT_COLLECTION, find_collection
from corpus.errors import CollectionNotFound, ModelError, PromptTooLong, QueueFull
from rag_service.answering.answer import AnswerRequest, Found
from rag_service.answering.chat_model import Sampling, Usage
from rag_service.answering.citations import Citation, cut_before
from rag_service.answering.conversation import Message
from rag_service.api import errors
from rag_service.api.answering import ROLES, Finished, answer_events, citation_out, message_of
from rag_service.api.dependencies import ServiceDep, require
from rag_service.api.errors import KINDS, NO_MODEL, openai_error
from rag_service.api.openai_models import CLOSED_BOOK, RAG, RAG_COLLECTION, no_such_model
from rag_service.api.openapi import events, openai_errors
from rag_service.api.schemas.answers import MAX_MESSAGES, CitationOut, RefusalOut
from rag_service.api.schemas.openai import (
    ChatChoice,
    ChatChunk,
    ChatChunkChoice,
    ChatDelta,
    ChatIn,
    ChatMessageOut,
    ChatOut,
    ChatUsage,
    FinishReason,
    PromptDetails,
)
from rag_service.api.sse import READER_GONE, EventStream, Gone, json_data, last_event, sse_event
from rag_service.service import Service

_MAX_TOKENS = 2048
_DEFAULT_MAX_TOKENS = 256
_SEEDS = 2**53  # OpenAI's may be negative; traces keep what every JSON reader reads exactly
_PIECES = re.compile(r"\s*\S+|\s+")  # words with the space before them

router = APIRouter(prefix="/v1/chat/completions", tags=["OpenAI-compatible"], dependencies=[require("query")])


@router.post(
    "",
    summary="Continue a conversation",
    response_model=ChatOut,
    responses={
        200: events("The answer; with `stream`, chunks, and `[DONE]` at the end."),
        **openai_errors(
            errors.MALFORMED,
            NO_MODEL,
            errors.TOO_LARGE,
            errors.INVALID,
            KINDS[PromptTooLong],
            KINDS[QueueFull],
            errors.NOT_READY,
            KINDS[ModelError],
        ),
    },
)
async def create_chat_completion(chat: ChatIn, request: Request, service: ServiceDep) -> ChatOut | Response:
    """Answer the last turn from the documents of the collection that `model` names.

    The text of a stream is sent when it has been checked against its sources, so that what readers of
    this form see is what they keep; it takes as long as without a stream. With `stop`, the checked text is
    cut: it is what it would be without, up to there.
    """
    if chat.stream:
        return EventStream(
            lambda gone: _chunks(service, chat, gone),
            threads=service.threads.answer,
            error_event=lambda problem: sse_event(json_data(openai_error(problem))),
        )
    last = await last_event(
        request, service.threads.answer, lambda gone: answer_events(service, _request(service, chat), gone)
    )
    return _chat_out(last, chat) if isinstance(last, Finished) else Response(status_code=READER_GONE)


def _request(service: Service, chat: ChatIn) -> AnswerRequest:
    """Raises ProblemRaised for a model that does not exist."""
    said = [each for each in chat.messages if each.role in ROLES and each.text.strip()]
    return AnswerRequest(
        messages=_latest([message_of(each.role, each.text) for each in said]),
        collections=(_collection(service, chat.model),),
        mode="never" if chat.model == CLOSED_BOOK else "always",
        sampling=Sampling(
            max_tokens=_max_tokens(chat),
            temperature=chat.temperature or 0.0,
            seed=None if chat.seed is None else chat.seed % _SEEDS,
        ),
    )


def _latest(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Leave out the oldest turns of a long chat, not those of the system.

    Clients send the whole chat each time, and would be refused from some turn on for good. The size of the
    body is limited (`middleware.BodyLimit`).
    """
    turns = [place for place, message in enumerate(messages) if message.role != "system"]
    left_out = frozenset(turns[:-MAX_MESSAGES])
    return tuple(message for place, message in enumerate(messages) if place not in left_out)


def _collection(service: Service, model: str) -> str:
    if model in (RAG, CLOSED_BOOK):
        return DEFAULT_COLLECTION
    if not model.startswith(RAG_COLLECTION):
        raise no_such_model(model)
    name = model.removeprefix(RAG_COLLECTION)
    try:
        with service.database.read() as session:
            return find_collection(session, name).id
    except CollectionNotFound as error:
        raise no_such_model(model) from error


def _chunks(service: Service, chat: ChatIn, gone: Gone) -> Generator[bytes]:
    empty = ChatChunk(
        id=f"chatcmpl-{secrets.token_hex(12)}", created=int(time.time()), model=chat.model, choices=[]
    )
    for event in answer_events(service, _request(service, chat), gone):
        if isinstance(event, Found):
            yield _chunk(empty, ChatChunkChoice(delta=ChatDelta(role="assistant", content="")))
        elif isinstance(event, Finished):
            for piece in _PIECES.findall(_text_and_citations(event, chat)[0]):
                yield _chunk(empty, ChatChunkChoice(delta=ChatDelta(content=piece)))
            yield from _last_chunks(empty, chat, event)
    yield sse_event("[DONE]")


def _last_chunks(empty: ChatChunk, chat: ChatIn, finished: Finished) -> Generator[bytes]:
    """Tell why it ended, with the citations; the tokens have a chunk of their own, where asked for."""
    end = ChatChunkChoice(delta=ChatDelta(), finish_reason=_finish_reason(finished, chat))
    last = empty.model_copy(update={"citations": _citations(finished, chat), "refusal": _refusal(finished)})
    yield _chunk(last, end)
    if chat.stream_options is not None and chat.stream_options.include_usage:
        yield _chunk(last.model_copy(update={"usage": _usage(finished.answer.usage)}))


def _chunk(chunk: ChatChunk, *choices: ChatChunkChoice) -> bytes:
    """Leave out what a chunk does not tell; `finish_reason` is always there, since clients look for it."""
    absent = {name for name in ("usage", "citations", "refusal") if getattr(chunk, name) is None}
    data = chunk.model_dump(exclude=absent | {"choices"})
    data["choices"] = [
        choice.model_dump() | {"delta": choice.delta.model_dump(exclude_none=True)} for choice in choices
    ]
    return sse_event(json_data(data))


def _chat_out(finished: Finished, chat: ChatIn) -> ChatOut:
    message = ChatMessageOut(content=_text_and_citations(finished, chat)[0])
    return ChatOut(
        id=f"chatcmpl-{finished.answer.id}",
        created=int(time.time()),
        model=chat.model,
        choices=[ChatChoice(message=message, finish_reason=_finish_reason(finished, chat))],
        usage=_usage(finished.answer.usage),
        citations=_citations(finished, chat),
        refusal=_refusal(finished),
    )


def _text_and_citations(finished: Finished, chat: ChatIn) -> tuple[str, tuple[Citation, ...]]:
    return cut_before(finished.answer.text, finished.answer.citations, chat.stops)


def _citations(finished: Finished, chat: ChatIn) -> list[CitationOut]:
    return [citation_out(citation) for citation in _text_and_citations(finished, chat)[1]]


def _refusal(finished: Finished) -> RefusalOut | None:
    reason = finished.answer.refusal
    return None if reason is None else RefusalOut(reason=reason)


def _finish_reason(finished: Finished, chat: ChatIn) -> FinishReason:
    if any(stop in finished.answer.text for stop in chat.stops):
        return "stop"
    answer = finished.answer  # of an untrained model's own, smaller limit the client knows nothing
    at_limit = answer.cut_off and answer.usage.completion_tokens >= _max_tokens(chat)
    return "length" if at_limit else "stop"


def _max_tokens(chat: ChatIn) -> int:
    return min(chat.max_completion_tokens or chat.max_tokens or _DEFAULT_MAX_TOKENS, _MAX_TOKENS)


def _usage(usage: Usage) -> ChatUsage:
    return ChatUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=PromptDetails(cached_tokens=usage.cached_tokens),
    )
