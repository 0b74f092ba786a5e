"""Jobs: long work and how far it is. `indexer.workflows` carries them out.

A job is `queued`, `running`, then `completed`, `failed` or `cancelled`; a job with failed items still
completes. While its client adds items, its stage is `receiving`: the work may begin, but the job does
not end before `seal_job`. Finished jobs start once more when their failed items are retried; each such
run is a workflow of its own, see `workflow_id`.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from corpus.errors import JobNotFound
from corpus.ids import new_id
from corpus.models import Document, DocumentVersion, Job, JobItem, now
from indexer.closing import close_items
from indexer.job_states import FINISHED, OPEN_ITEM
from indexer.storable import storable

JobKind = Literal["upload", "ingestion", "reindex", "compaction"]
ItemState = Literal["queued", "running", "done", "failed", "skipped", "cancelled"]
RECEIVING = "receiving"
_READING = "reading"
_ABANDONED_AFTER = timedelta(minutes=10)
_REVIVALS = 20  # with the rests between them more than an hour
_LONGEST_REST = timedelta(minutes=5)
_REVIVED, _REVIVED_AT = "revivals", "revived_at"
_OF_KEPT_TEXT = "of_kept_text"


def create_job(
    session: Session,
    kind: JobKind,
    *,
    collection_id: str | None,
    receiving: bool = False,
    idempotency_key: str | None = None,
    of_kept_text: bool = False,
) -> Job:
    """Make a queued job; a worker finds it after the commit.

    Args:
        session: a write transaction.
        kind: `upload` (one document, goes first), `ingestion` (many), `reindex` or `compaction`.
        collection_id: what it works on.
        receiving: more items follow; the job stays open until `seal_job`.
        idempotency_key: the client's own name for this request, unique.
        of_kept_text: its documents are indexed anew from the text that was read of them; bytes and parser
            are not needed.
    """
    job = Job(
        id=new_id("job"),
        kind=kind,
        collection_id=collection_id,
        state="queued",
        stage=RECEIVING if receiving else None,
        options={_OF_KEPT_TEXT: True} if of_kept_text else {},
        idempotency_key=idempotency_key,
    )
    session.add(job)
    session.flush()
    return job


def find_job(session: Session, job_id: str, *, lock: bool = False) -> Job:
    """Return a job; with `lock`, other transactions wait for this one before they change it.

    Raises:
        JobNotFound: there is no such job.
    """
    statement = select(Job).where(Job.id == job_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    job = session.scalar(statement)
    if job is None:
        raise JobNotFound(
            f"There is no job {job_id!r}, or it went with its collection; `rag jobs list` shows all."
        )
    return job


def add_item(
    session: Session, job: Job, *, name: str, document_id: str | None, version: int | None
) -> JobItem:
    """Append a queued item to a job."""
    return add_items(session, job, [(name, document_id, version)])[0]


def add_items(
    session: Session, job: Job, named: Sequence[tuple[str, str | None, int | None]]
) -> list[JobItem]:
    """Append queued items to a job: each one's name, its document's id and version."""
    last = session.scalar(select(func.max(JobItem.position)).where(JobItem.job_id == job.id))
    items = [
        JobItem(
            job_id=job.id,
            position=position,
            name=storable(name),
            document_id=document_id,
            version=version,
            state="queued",
        )
        for position, (name, document_id, version) in enumerate(named, 0 if last is None else last + 1)
    ]
    session.add_all(items)
    session.flush()
    return items


def seal_job(session: Session, job_id: str) -> None:
    """Declare that no more items follow; the job ends with its last one."""
    job = find_job(session, job_id, lock=True)
    if job.stage == RECEIVING:
        job.stage = _READING if job.state == "running" else None
        session.flush()


def seal_abandoned_jobs(session: Session) -> int:
    """Seal jobs whose client fell silent while it was adding items; return how many those were."""
    newest_item = select(func.max(JobItem.updated_at)).where(JobItem.job_id == Job.id).scalar_subquery()
    horizon = now() - _ABANDONED_AFTER
    abandoned = session.scalars(
        select(Job.id).where(
            Job.stage == RECEIVING,
            Job.state.not_in(FINISHED),
            func.coalesce(newest_item, Job.created_at) < horizon,
        )
    ).all()
    for job_id in abandoned:
        seal_job(session, job_id)
        find_job(session, job_id).idempotency_key = None  # what is missing can only come with a new request
    return len(abandoned)


def begin_job(session: Session, job_id: str) -> bool:
    """Mark a job as running; False: it is over or gone, there is nothing to do.

    What a job that is over left running is ended here: its workflow has read it, or died over it.
    """
    try:
        job = find_job(session, job_id, lock=True)
    except JobNotFound:
        return False
    if job.state in FINISHED:
        close_items(session, job)
        return False
    if job.state == "queued":
        job.state = "running"
        job.started_at = job.started_at or now()
        if job.stage is None and job.kind in {"upload", "ingestion"}:
            job.stage = _READING
        session.flush()
    return True


def finish_job(session: Session, job_id: str) -> bool:
    """End a job whose items are all finished; False: some are not.

    A job that is still receiving goes back to the queue instead, to be taken up with its next items.
    """
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
    if job is None or job.state in FINISHED:
        return True
    if session.scalar(select(_has_open_items(job_id))):
        return False
    if job.stage == RECEIVING:
        requeue(job)
    else:
        job.state, job.stage, job.finished_at = "completed", None, now()
    session.flush()
    return True


def fail_job(session: Session, job_id: str, error: str) -> None:
    """End a job that can not go on; what it has not read fails, and can be retried or uploaded again."""
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
    if job is not None and job.state not in FINISHED:
        job.state, job.error, job.finished_at = "failed", error, now()
        close_items(session, job)
        session.flush()


def cancel_job(session: Session, job_id: str) -> Job:
    """Cancel a job; items that are being worked on at this moment may still become done.

    What waits is ended now, see `close_items`; what is running, by its workflow when that goes on.

    Raises:
        JobNotFound: there is no such job.
    """
    job = find_job(session, job_id, lock=True)
    if job.state in FINISHED:
        return job
    job.state, job.finished_at = "cancelled", now()
    close_items(session, job, ["queued"])
    session.flush()
    return job


def retry_job(session: Session, job_id: str) -> int:
    """Queue the failed items of a finished job again; return how many those are.

    Raises:
        JobNotFound: there is no such job.
    """
    job = find_job(session, job_id, lock=True)
    failed = session.scalars(
        select(JobItem).where(JobItem.job_id == job_id, JobItem.state == "failed").order_by(JobItem.position)
    ).all()
    retried = sum(_retry_item(session, item) for item in failed)
    if retried and job.state in FINISHED:
        requeue(job)
        job.finished_at = job.error = None
        forgotten = (_REVIVED, _REVIVED_AT)
        job.options = {name: value for name, value in job.options.items() if name not in forgotten}
    session.flush()
    return retried


def requeue(job: Job) -> None:
    """Let a job be taken up by a new workflow."""
    job.state = "queued"
    job.options = {**job.options, "run": run_number(job) + 1}


def run_number(job: Job) -> int:
    """Return how many workflows had this job before its present one."""
    return int(job.options.get("run", 0))


def workflow_id(job: Job) -> str:
    """Return the id of the workflow that carries the job out: the job's own, with the run's number."""
    run = run_number(job)
    return job.id if run == 0 else f"{job.id}.{run}"


def is_of_kept_text(job: Job) -> bool:
    """Tell whether the job's documents are indexed from the text that was read of them."""
    return bool(job.options.get(_OF_KEPT_TEXT))


def waiting_jobs(session: Session) -> list[Job]:
    """Return the queued jobs that have something to do, oldest first."""
    ready = (Job.stage.is_(None)) | (Job.stage != RECEIVING) | _has_open_items(Job.id)
    return list(session.scalars(select(Job).where(Job.state == "queued", ready).order_by(Job.id)))


def unfinished_jobs(session: Session) -> list[Job]:
    """Return the jobs that a workflow should be carrying out or waiting for, oldest first."""
    running = session.scalars(select(Job).where(Job.state == "running"))
    return sorted([*waiting_jobs(session), *running], key=lambda job: job.id)


def revive_job(session: Session, job_id: str, *, last_workflow: str) -> None:
    """Give a job whose workflow ended before it a new one; after many times the job fails instead.

    The first time at once, then after ever longer rests: a full disk is not mended in a minute, and the
    vectors of a reindex that fails are thrown away.
    """
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
    if job is None or job.state in FINISHED or workflow_id(job) != last_workflow or _rests(job):
        return
    revivals = int(job.options.get(_REVIVED, 0)) + 1
    if revivals > _REVIVALS:
        fail_job(session, job_id, "Its workflow failed again and again; see the worker's log.")
        return
    requeue(job)
    job.options = {**job.options, _REVIVED: revivals, _REVIVED_AT: now().isoformat()}
    session.flush()


def _rests(job: Job) -> bool:
    revived_at = job.options.get(_REVIVED_AT)
    if revived_at is None:
        return False
    rest = min(timedelta(seconds=2 ** int(job.options[_REVIVED])), _LONGEST_REST)
    return abs(now() - datetime.fromisoformat(revived_at)) < rest  # the clock may be set back


def waiting_uploads(session: Session, *, at_most: int) -> int:
    """Count the single documents that wait for a worker, up to `at_most`."""
    waiting = (
        select(JobItem.job_id)
        .join(Job, Job.id == JobItem.job_id)
        .where(Job.kind == "upload", Job.state == "queued", JobItem.state == "queued")
        .limit(at_most)
        .subquery()
    )
    return session.execute(select(func.count()).select_from(waiting)).scalar_one()


def _has_open_items(job_id: str | InstrumentedAttribute[str]) -> ColumnElement[bool]:
    return exists().where(JobItem.job_id == job_id, JobItem.state.in_(OPEN_ITEM))


def _retry_item(session: Session, item: JobItem) -> bool:
    """Queue one failed item again; False: there is nothing to read, or its bytes came in another way."""
    if item.version is None:
        return False
    version = session.get(DocumentVersion, (item.document_id, item.version)) if item.document_id else None
    if version is None:
        item.state, item.error = "skipped", "The document was deleted or replaced since."
        return False
    if version.state == "failed":
        twin = session.scalar(
            select(DocumentVersion.document_id).where(
                DocumentVersion.collection_id == version.collection_id,
                DocumentVersion.sha256 == version.sha256,
                DocumentVersion.state != "failed",
            )
        )
        if twin is not None:
            item.state, item.error = "skipped", f"The same bytes are document {twin}."
            return False
        version.state = "pending"
        document = session.get_one(Document, version.document_id)
        if document.status == "failed":
            document.status = "pending"
        document.error = None
    item.state, item.error, item.error_kind, item.attempts = "queued", None, None, 0
    return True
