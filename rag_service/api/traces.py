"""`/v1/traces`: how an answer came about, and the same question once more."""

from typing import Annotated

import anyio
from fastapi import APIRouter, Path, Request, Response

from corpus.errors import TraceNotFound
from rag_service.api.answering import Finished, answer_events, answer_out
from rag_service.api.answers import ANSWER_KINDS
from rag_service.api.dependencies import NO_NUL, ServiceDep, require
from rag_service.api.errors import INVALID, KINDS
from rag_service.api.openapi import problems
from rag_service.api.schemas.traces import ReplayOut, TraceOut
from rag_service.api.sse import READER_GONE, last_event
from rag_service.service import Service
from rag_service.traces import TraceView, changed_fields, request_of, result_record

router = APIRouter(prefix="/v1/traces", tags=["traces"])
TraceId = Annotated[
    str, Path(max_length=200, pattern=NO_NUL, description="A trace's id: `trace_id` of an answer.")
]


@router.get(
    "/{trace_id}",
    summary="Get a trace",
    dependencies=[require("query")],
    responses=problems(KINDS[TraceNotFound], INVALID),
)
def get_trace(trace_id: TraceId, service: ServiceDep) -> TraceOut:
    """Return what happened for one answer."""
    trace = service.traces.find(trace_id)
    return TraceOut(
        id=trace.id,
        answer_id=trace.answer_id,
        question=trace.question,
        request=trace.record["request"],
        result=trace.record["result"],
        created_at=trace.created_at,
    )


@router.post(
    "/{trace_id}/replay",
    summary="Answer once more",
    dependencies=[require("admin")],
    response_model=ReplayOut,
    responses=problems(KINDS[TraceNotFound], *ANSWER_KINDS),
)
async def replay(trace_id: TraceId, request: Request, service: ServiceDep) -> ReplayOut | Response:
    """Ask the same with the same seed, with the documents and the model of now, and tell what changed."""
    trace = await anyio.to_thread.run_sync(service.traces.find, trace_id)
    asked = request_of(trace)
    last = await last_event(request, service.threads.answer, lambda gone: answer_events(service, asked, gone))
    return (
        _replayed(service, trace, last) if isinstance(last, Finished) else Response(status_code=READER_GONE)
    )


def _replayed(service: Service, trace: TraceView, finished: Finished) -> ReplayOut:
    before = trace.record["result"]
    after = result_record(
        finished.answer,
        fingerprint=service.chat_model.get().fingerprint,
        embedder=service.embedder.get().id,
    )
    return ReplayOut(
        trace_id=trace.id,
        changed=changed_fields(before, after),
        before=before,
        answer=answer_out(finished),
    )
