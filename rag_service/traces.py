"""Traces: what happened for each answer, enough to understand it and to run it again.

A trace is one JSON record. It holds questions and passages, so it is kept for a limited time, or not at
all where `keep_days` is 0.
"""

import hashlib
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete
from sqlalchemy.orm import Session

from corpus.database import Database
from corpus.errors import TraceNotFound
from corpus.ids import chunk_public_id, new_id
from corpus.models import Trace, now
from rag_service.answering.answer import Answer, AnswerRequest
from rag_service.answering.chat_model import Fingerprint, Sampling
from rag_service.answering.conversation import message_from_dict, message_to_dict
from rag_service.retrieval.filters import Combination, Filter, Membership, parse_filter
from rag_service.retrieval.passages import Passage

Json = dict[str, Any]  # a record as the database keeps it; only this module looks inside
_SWEEP_EVERY_S = 3600.0


@dataclass(frozen=True, slots=True)
class TraceView:
    """A trace as it is kept."""

    id: str
    answer_id: str
    question: str
    record: Json
    created_at: datetime


class Traces:
    """Keeps the traces of one application."""

    def __init__(self, database: Database, *, keep_days: int) -> None:
        self._database = database
        self._keep_days = keep_days
        self._lock = threading.Lock()
        self._swept_at: float | None = None

    def record(
        self, request: AnswerRequest, answer: Answer, *, fingerprint: Fingerprint, embedder: str
    ) -> str | None:
        """Keep what happened and return the trace's id; None: traces are off."""
        if not self._keep_days:
            return None
        trace = Trace(
            id=new_id("trc"),
            answer_id=answer.id,
            question=request.question,
            record={
                "request": request_record(request),
                "result": result_record(answer, fingerprint=fingerprint, embedder=embedder),
            },
        )
        with self._database.write() as session:
            if self._sweep_is_due():
                forget_older(session, now() - timedelta(days=self._keep_days))
            session.add(trace)
        return trace.id

    def find(self, trace_id: str) -> TraceView:
        """Return one trace.

        Raises:
            TraceNotFound: there is none of this id, or its time is over.
        """
        with self._database.read() as session:
            row = session.get(Trace, trace_id)
        if row is None:
            raise TraceNotFound(f"There is no trace {trace_id!r}; it may be older than traces are kept.")
        return TraceView(row.id, row.answer_id, row.question, row.record, row.created_at)

    def _sweep_is_due(self) -> bool:
        with self._lock:
            due = self._swept_at is None or time.monotonic() - self._swept_at > _SWEEP_EVERY_S
            if due:
                self._swept_at = time.monotonic()
            return due


def forget_older(session: Session, horizon: datetime) -> None:
    """Delete traces from before `horizon`, and the feedback on their answers."""
    session.execute(delete(Trace).where(Trace.created_at < horizon))


def request_record(request: AnswerRequest) -> Json:
    """Return a request as JSON; `request_of` undoes it."""
    return {
        "messages": [message_to_dict(message) for message in request.messages],
        "collections": list(request.collections),
        "filters": None if request.filters is None else filter_record(request.filters),
        "mode": request.mode,
        "search": request.search,
        "top_k": request.top_k,
        "candidates": request.candidates,
        "expand": request.expand,
        "rewrite_query": request.rewrite_query,
        "sampling": asdict(request.sampling) | {"stop": list(request.sampling.stop)},
        "reasoning": request.reasoning,
        "on_no_evidence": request.on_no_evidence,
        "description": request.description,
    }


def request_of(trace: TraceView) -> AnswerRequest:
    """Return the request that a trace is of."""
    fields: Json = dict(trace.record["request"])
    sampling: Json = fields.pop("sampling")
    filters = fields.pop("filters")
    return AnswerRequest(
        messages=tuple(message_from_dict(message) for message in fields.pop("messages")),
        collections=tuple(fields.pop("collections")),
        filters=None if filters is None else parse_filter(filters),
        sampling=Sampling(**(sampling | {"stop": tuple(sampling["stop"])})),
        **fields,
    )


def filter_record(parsed: Filter) -> Json:
    """Return a filter in its grammar; `parse_filter` undoes it."""
    if isinstance(parsed, Combination):
        return {"type": parsed.type, "filters": [filter_record(part) for part in parsed.filters]}
    if isinstance(parsed, Membership):
        return {"type": parsed.type, "key": parsed.key, "value": list(parsed.values)}
    return {"type": parsed.type, "key": parsed.key, "value": parsed.value}


def result_record(answer: Answer, *, fingerprint: Fingerprint, embedder: str) -> Json:
    """Return what a trace keeps of an answer and of what it was made with."""
    return {
        "status": answer.status,
        "refusal": answer.refusal,
        "answer": answer.text,
        "reasoning": answer.reasoning,
        "rewritten_query": answer.rewritten_query,
        "passages": [_passage_record(passage, answer.in_context) for passage in answer.passages],
        "citations": [
            {"id": each.id, "chunk_id": chunk_public_id(each.passage.chunk_id), "quote": each.quote}
            for each in answer.citations
        ],
        "tool_calls": [asdict(call) for call in answer.tool_calls],
        "evidence": answer.evidence,
        "groundedness": answer.groundedness and answer.groundedness.score,
        "prompt": answer.transcript,
        "generation": answer.generation,
        "embedder": embedder,
        "model": answer.model,
        "base_sha256": fingerprint.base_sha256,
        "adapter_sha256": fingerprint.adapter_sha256,
        "usage": asdict(answer.usage),
        "timings_ms": asdict(answer.timings_ms),
    }


def changed_fields(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Name what differs between two results, apart from times and what they cost."""
    return [
        name for name in before if name not in {"timings_ms", "usage"} and before[name] != after.get(name)
    ]


def _passage_record(passage: Passage, in_context: frozenset[int]) -> Json:
    return {
        "chunk_id": chunk_public_id(passage.chunk_id),
        "document_id": passage.document_id,
        "document_version": passage.document_version,
        "title": " > ".join((passage.document_title, *passage.heading_path)),
        "sha256": hashlib.sha256(passage.text.encode()).hexdigest(),
        "text": passage.text,
        "scores": asdict(passage.scores),
        "in_context": passage.chunk_id in in_context,
    }
