"""One span for each document that a worker took in.

Nothing inside the indexer knows of it: the span is made of what the database says when a step is over,
and of the parser's times, which are taken where the parser is called.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from time import time_ns

from opentelemetry.trace import StatusCode, Tracer
from opentelemetry.util.types import AttributeValue
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus.chunks import ParsedDocument
from corpus.database import Database
from corpus.models import Document, DocumentVersion, JobItem
from corpus.originals import Originals
from indexer.ingest import Parser
from rag_service.telemetry.spans import Stage, record_stages

_NS_PER_S = 1_000_000_000
_OVER = ("done", "failed", "skipped")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Taken:
    """A document whose item of a job came to its end."""

    document_id: str | None
    collection_id: str | None
    sha256: str | None
    media_type: str | None  # once it is read: before it is what the client says
    status: str
    error_kind: str | None
    attempts: int
    chunks: int | None
    ended: int


class _Step(threading.local):
    """The present step of a thread: what the parser read in it, by the hash of the bytes."""

    def __init__(self) -> None:
        self.parsed: dict[str, Stage] = {}


class DocumentSpans:
    """Notes what the steps of a worker bring; the steps may be in several threads.

    What goes wrong with that is no fault of a step, and is not raised.
    """

    def __init__(self, tracer: Tracer, database: Database, originals: Originals) -> None:
        self._tracer = tracer
        self._database = database
        self._originals = originals
        self._step = _Step()

    @contextmanager
    def watch(self, job_id: str) -> Iterator[None]:
        """Note the documents of a job that came to their end within the block."""
        began, self._step.parsed = datetime.now(UTC), {}
        first = self._first_open(job_id)
        try:
            yield
        finally:
            if first is not None:
                self._note(job_id, first, began)

    def around(self, parser: Parser) -> Parser:
        """Return the parser, its times taken."""
        return _TimedParser(parser, self._step)

    def _first_open(self, job_id: str) -> int | None:
        """Return from where on a job's items are not over, so that the others need not be looked at."""
        items = select(func.min(JobItem.position)).where(JobItem.job_id == job_id)
        try:
            with self._database.read() as session:
                first = session.scalar(items.where(JobItem.state.in_(("queued", "running"))))
                if first is None:  # more may come before the step looks
                    last = session.scalar(select(func.max(JobItem.position)).where(JobItem.job_id == job_id))
                    first = 0 if last is None else last + 1
        except Exception:  # noqa: BLE001 - the step will say what is wrong with the database
            return None
        return first

    def _note(self, job_id: str, first: int, began: datetime) -> None:
        try:
            with self._database.read() as session:
                taken = _taken(session, job_id, first, began)
            for each in taken:
                parsing = self._step.parsed.get(each.sha256 or "")
                self._record(each, job_id, parsing or Stage("parse", _ns(began), _ns(began)))
        except Exception:  # noqa: BLE001 - spans are lost, the documents are there
            _log.warning("documents of job %s have no spans", job_id, exc_info=True)

    def _record(self, taken: _Taken, job_id: str, parsing: Stage) -> None:
        attributes: dict[str, AttributeValue | None] = {
            "rag.document.status": taken.status,
            "rag.document.id": taken.document_id,
            "rag.document.media_type": taken.media_type if taken.status == "done" else None,
            "rag.document.bytes": self._size(taken.sha256),
            "rag.document.chunks": taken.chunks if taken.status == "done" else None,
            "rag.document.attempts": taken.attempts,
            "rag.error_kind": taken.error_kind,
            "rag.collection.id": taken.collection_id,
            "rag.job.id": job_id,
        }
        span = self._tracer.start_span(
            "document",
            start_time=parsing.began,
            attributes={name: value for name, value in attributes.items() if value is not None},
        )
        if taken.status == "failed":
            span.set_status(StatusCode.ERROR)
        # Reading is a document's own; cutting, embedding and saving go on together with others.
        stages = (parsing, Stage("index", parsing.ended, taken.ended))
        record_stages(self._tracer, span, [each for each in stages if each.ended > each.began])
        span.end(max(parsing.ended, taken.ended))

    def _size(self, hash_: str | None) -> int | None:
        try:
            return self._originals.path(hash_).stat().st_size if hash_ else None
        except OSError:  # the bytes went with the document
            return None


class _TimedParser:
    """Takes the times of a parser, by the hash of what it reads, for the step of its thread."""

    def __init__(self, parser: Parser, step: _Step) -> None:
        self._parser = parser
        self._step = step

    def parse(self, data: bytes, *, filename: str | None, media_type: str | None = None) -> ParsedDocument:
        """Return what the parser does."""
        began = time_ns()
        try:
            return self._parser.parse(data, filename=filename, media_type=media_type)
        finally:
            stage = Stage("parse", began, time_ns())
            self._step.parsed[sha256(data).hexdigest()] = stage


def _taken(session: Session, job_id: str, first: int, began: datetime) -> list[_Taken]:
    rows = session.execute(
        select(
            JobItem.document_id,
            Document.collection_id,
            DocumentVersion.sha256,
            Document.media_type,
            JobItem.state,
            JobItem.error_kind,
            JobItem.attempts,
            Document.chunk_count,
            JobItem.updated_at,
        )
        .outerjoin(Document, Document.id == JobItem.document_id)
        .outerjoin(
            DocumentVersion,
            (DocumentVersion.document_id == JobItem.document_id)
            & (DocumentVersion.version == JobItem.version),
        )
        .where(
            JobItem.job_id == job_id,
            JobItem.position >= first,
            JobItem.state.in_(_OVER),
            JobItem.updated_at >= began,
        )
        .order_by(JobItem.position)
    )
    return [_Taken(*row[:-1], ended=_ns(row[-1])) for row in rows]


def _ns(moment: datetime) -> int:
    return round(moment.timestamp() * _NS_PER_S)
