"""Ending what a job leaves open when it is over: no document waits for a job that will not read it."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from corpus.collections import keep_collections
from corpus.models import Chunk, Document, DocumentVersion, Job, JobItem, next_change_number
from indexer.deletion import bury_chunks
from indexer.job_states import FINISHED, OPEN_ITEM

_CANCELLED = "The job was cancelled before this document was read; upload it again to take it in."
_ENDED = "The job ended before this document was read; upload it again to take it in."


def close_items(session: Session, job: Job, states: Sequence[str] = OPEN_ITEM) -> None:
    """End the open items of a job that is over.

    Versions that only this job would have read fail, and so do documents that have no other one: they can
    be uploaded again. What such a document is found by already, its words without vectors, is buried.

    Should a worker still be reading one, it saves it as a whole all the same, or notes why it could not:
    nothing here keeps it from that, and nothing of it shows before.

    Args:
        session: a write transaction that holds the job's lock.
        job: cancelled or failed.
        states: which items are ended.
    """
    items = and_(JobItem.job_id == job.id, JobItem.state.in_(states))
    if session.scalar(select(JobItem.position).where(items).limit(1)) is None:
        return
    state, error = ("cancelled", _CANCELLED) if job.state == "cancelled" else ("failed", job.error or _ENDED)
    of_items = Document.id.in_(select(JobItem.document_id).where(items))
    # In one order and before their versions, as everybody does, so that nobody waits in a circle.
    keep_collections(session, session.scalars(select(Document.collection_id).where(of_items).distinct()))
    session.execute(select(Document.id).where(of_items).order_by(Document.id).with_for_update())
    session.execute(
        update(DocumentVersion)
        .where(
            DocumentVersion.state == "pending",
            tuple_(DocumentVersion.document_id, DocumentVersion.version).in_(
                select(JobItem.document_id, JobItem.version).where(items)
            ),
            ~_is_read_by_another(job.id),
        )
        .values(state="failed")
        .execution_options(synchronize_session=False)
    )
    unread = and_(of_items, Document.status.in_(("pending", "processing")), ~_has_live_version())
    _bury_early_chunks(session, unread)
    session.execute(
        update(Document)
        .where(unread)
        .values(status="failed", error=error)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(JobItem)
        .where(items)
        .values(state=state, error=error, error_kind=None if state == "cancelled" else "transient")
    )


def _bury_early_chunks(session: Session, unread: ColumnElement[bool]) -> None:
    early = select(Chunk.document_id).join(Document, Document.id == Chunk.document_id).where(unread)
    document_ids = session.scalars(early.distinct()).all()
    if document_ids:
        bury_chunks(session, document_ids=document_ids, change_number=next_change_number(session))


def _is_read_by_another(job_id: str) -> ColumnElement[bool]:
    """Return the condition on `DocumentVersion`: another job, which is not over, is to read it."""
    item = aliased(JobItem)
    return (
        exists()
        .where(
            item.document_id == DocumentVersion.document_id,
            item.version == DocumentVersion.version,
            item.state.in_(OPEN_ITEM),
            item.job_id != job_id,
            item.job_id == Job.id,
            Job.state.not_in(FINISHED),
        )
        .correlate(DocumentVersion)
    )


def _has_live_version() -> ColumnElement[bool]:
    """Return the condition on `Document`: a version of it is shown or waits."""
    return (
        exists()
        .where(DocumentVersion.document_id == Document.id, DocumentVersion.state != "failed")
        .correlate(Document)
    )
