"""From a request over HTTP to the events of its answer: recorded, counted, and ready to be sent."""

import secrets
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from corpus.collections import find_collection
from corpus.ids import chunk_public_id
from rag_service.answering import conversation
from rag_service.answering.answer import Answer, Answerer, AnswerRequest, Done, Event
from rag_service.answering.citations import Citation, Groundedness
from rag_service.answering.conversation import Message
from rag_service.answering.pages import on_their_pages
from rag_service.api.schemas.answers import (
    AnswerOut,
    AnswerPassageOut,
    AnswerTimings,
    CitationOut,
    GroundednessOut,
    RefusalOut,
    SpanOut,
    ToolCallOut,
    UsageOut,
    VerificationOut,
)
from rag_service.api.schemas.search import ScoresOut
from rag_service.api.sse import Gone
from rag_service.retrieval.passages import Passage
from rag_service.service import Service

_SEED_BITS = 53  # what every JSON reader keeps exactly


_SPEAKERS: Mapping[str, Callable[[str], Message]] = {
    "system": conversation.system,
    "developer": conversation.system,
    "user": conversation.user,
    "assistant": conversation.assistant,
}
ROLES = frozenset(_SPEAKERS)


def message_of(role: str, text: str) -> Message:
    """Return a turn of one of `ROLES`."""
    return _SPEAKERS[role](text)


@dataclass(frozen=True, slots=True)
class Finished:
    """The last event: the whole answer, and where its trace is."""

    answer: Answer
    trace_id: str | None


def answer_events(service: Service, request: AnswerRequest, gone: Gone) -> Generator[Event | Finished]:
    """Answer in this thread, event by event; `Finished` takes the place of `Done`.

    Raises:
        CollectionNotFound: a collection does not exist.
        NotReady: a model is missing.
        PromptTooLong: the conversation does not fit the model.
    """
    service.switch.follow()
    answerer = service.answerer.get()
    request = _completed(service, request)
    service.metrics.answer_started()
    began = time.perf_counter()
    cited: list[Citation] = []  # all of the answer's, which come before its end
    try:
        for event in _timed(service, answerer.stream(request, cancelled=gone)):
            if isinstance(event, Citation):
                cited += on_their_pages(service.database, [event])
                yield cited[-1]
            elif isinstance(event, Done):
                answer = replace(event.answer, citations=tuple(cited))
                service.metrics.count_answer(answer.status, time.perf_counter() - began)
                yield Finished(answer, _record(service, request, answer, answerer))
            else:
                yield event
    finally:
        service.metrics.answer_ended()


def _timed(service: Service, events: Iterator[Event]) -> Iterator[Event]:
    """Pass the events on; with telemetry they leave a span."""
    if service.telemetry is None:
        yield from events
        return
    with service.telemetry.answer() as span:
        for event in events:
            if isinstance(event, Done):
                span.tell(event.answer)
            yield event


def _completed(service: Service, request: AnswerRequest) -> AnswerRequest:
    """Look the collections up, for their descriptions; and fix the seed, so that a trace can be replayed."""
    with service.database.read() as session:
        found = [find_collection(session, name) for name in request.collections]
    sampling = request.sampling
    if sampling.seed is None:
        sampling = replace(sampling, seed=secrets.randbits(_SEED_BITS))
    about = " ".join(each.description for each in found if each.description)
    return replace(request, description=about, sampling=sampling)


def _record(service: Service, request: AnswerRequest, answer: Answer, answerer: Answerer) -> str | None:
    return service.traces.record(
        request,
        answer,
        fingerprint=answerer.fingerprint,  # a switch may have come since
        embedder=service.embedder.get().id,
    )


def answer_out(finished: Finished) -> AnswerOut:
    """Return an answer as it is sent."""
    answer = finished.answer
    return AnswerOut(
        id=answer.id,
        status=answer.status,
        refusal=None if answer.refusal is None else RefusalOut(reason=answer.refusal),
        answer=answer.text,
        reasoning=answer.reasoning,
        rewritten_query=answer.rewritten_query,
        citations=[citation_out(citation) for citation in answer.citations],
        passages=passages_out(answer.passages, answer.in_context),
        tool_calls=[ToolCallOut.model_validate(call) for call in answer.tool_calls],
        evidence=answer.evidence,
        groundedness=_groundedness_out(answer.groundedness),
        generation=answer.generation,
        model=answer.model,
        usage=UsageOut.model_validate(answer.usage),
        timings_ms=AnswerTimings.model_validate(answer.timings_ms),
        trace_id=finished.trace_id,
    )


def citation_out(citation: Citation) -> CitationOut:
    """Return a citation as it is sent."""
    return CitationOut(
        id=citation.id,
        start=citation.start,
        end=citation.end,
        document_id=citation.passage.document_id,
        document_title=citation.passage.document_title,
        document_version=citation.passage.document_version,
        chunk_id=chunk_public_id(citation.passage.chunk_id),
        page=citation.page,
        source_start=citation.source_start,
        source_end=citation.source_end,
        quote=citation.quote,
        verification=VerificationOut.model_validate(citation.verification),
    )


def passages_out(passages: Sequence[Passage], in_context: frozenset[int]) -> list[AnswerPassageOut]:
    """Return passages as an answer names them."""
    return [
        AnswerPassageOut(
            chunk_id=chunk_public_id(passage.chunk_id),
            document_id=passage.document_id,
            in_context=passage.chunk_id in in_context,
            scores=ScoresOut.model_validate(passage.scores),
        )
        for passage in passages
    ]


def _groundedness_out(groundedness: Groundedness | None) -> GroundednessOut:
    if groundedness is None:
        return GroundednessOut(score=None, unsupported_spans=[])
    spans = [SpanOut(start=start, end=end) for start, end in groundedness.unsupported_spans]
    return GroundednessOut(score=groundedness.score, unsupported_spans=spans)
