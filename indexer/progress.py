"""How jobs are shown: counts, rate, time left, and the items with their errors."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus.models import Job, JobItem, now
from indexer.jobs import ItemState, find_job

_RATE_WINDOW = timedelta(seconds=30)
_FINISHED_ITEM = ("done", "failed", "skipped")


@dataclass(frozen=True, slots=True)
class JobCounts:
    """How many items are in which state; the rest of `total` waits."""

    total: int
    done: int
    failed: int
    skipped: int
    in_progress: int
    cancelled: int

    @property
    def finished(self) -> int:
        """Items that nothing more happens to."""
        return self.done + self.failed + self.skipped + self.cancelled


@dataclass(frozen=True, slots=True)
class JobProgress:
    """A job as it is shown: `rate` in items a second, `eta_s` in seconds; None while unknown."""

    id: str
    kind: str
    collection_id: str | None
    status: str
    counts: JobCounts
    stage: str | None
    rate: float | None
    eta_s: float | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class ItemProgress:
    """One document of a job; `error_kind` is permanent (the document's fault) or transient."""

    position: int
    name: str
    document_id: str | None
    state: str
    error: str | None
    error_kind: str | None
    attempts: int
    updated_at: datetime


def job_progress(session: Session, job_id: str) -> JobProgress:
    """Return how far a job is.

    Raises:
        JobNotFound: there is no such job.
    """
    return _progress(session, find_job(session, job_id))


def list_jobs(session: Session, *, limit: int = 100, before: str | None = None) -> list[JobProgress]:
    """Return up to `limit` jobs, newest first, those older than the id `before`."""
    statement = select(Job).order_by(Job.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(Job.id < before)
    return [_progress(session, job) for job in session.scalars(statement)]


def list_items(
    session: Session,
    job_id: str,
    *,
    state: ItemState | None = None,
    limit: int = 100,
    after: int | None = None,
) -> list[ItemProgress]:
    """Return up to `limit` items of a job in order, those after the position `after`.

    Raises:
        JobNotFound: there is no such job.
    """
    find_job(session, job_id)
    statement = select(JobItem).where(JobItem.job_id == job_id).order_by(JobItem.position).limit(limit)
    if state is not None:
        statement = statement.where(JobItem.state == state)
    if after is not None:
        statement = statement.where(JobItem.position > after)
    return [
        ItemProgress(
            item.position,
            item.name,
            item.document_id,
            item.state,
            item.error,
            item.error_kind,
            item.attempts,
            item.updated_at,
        )
        for item in session.scalars(statement)
    ]


def _progress(session: Session, job: Job) -> JobProgress:
    counts = _counts(session, job)
    rate = _rate(session, job, counts)
    left = counts.total - counts.finished
    return JobProgress(
        id=job.id,
        kind=job.kind,
        collection_id=job.collection_id,
        status=job.state,
        counts=counts,
        stage=job.stage,
        rate=rate,
        eta_s=left / rate if rate and job.state == "running" else None,
        error=job.error,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def _counts(session: Session, job: Job) -> JobCounts:
    """Return the counts of the items; a reindex counts documents to cut and chunks to embed instead."""
    if job.kind in {"reindex", "compaction"}:
        total, done = int(job.options.get("total", 0)), int(job.options.get("done", 0))
        return JobCounts(total=total, done=done, failed=0, skipped=0, in_progress=0, cancelled=0)
    rows = session.execute(
        select(JobItem.state, func.count()).where(JobItem.job_id == job.id).group_by(JobItem.state)
    )
    states = dict(rows.all())
    return JobCounts(
        total=sum(states.values()),
        done=states.get("done", 0),
        failed=states.get("failed", 0),
        skipped=states.get("skipped", 0),
        in_progress=states.get("running", 0),
        cancelled=states.get("cancelled", 0),
    )


def _rate(session: Session, job: Job, counts: JobCounts) -> float | None:
    """Return items a second: of the last half minute while it runs, of the whole job afterwards."""
    if job.started_at is None or counts.finished == 0:
        return None
    if job.finished_at is not None:
        return counts.finished / max((job.finished_at - job.started_at).total_seconds(), 0.001)
    if job.kind in {"reindex", "compaction"}:
        return counts.finished / max((now() - job.started_at).total_seconds(), 0.001)
    moment = now()
    since = max(job.started_at, moment - _RATE_WINDOW)
    recent = session.execute(
        select(func.count()).where(
            JobItem.job_id == job.id, JobItem.state.in_(_FINISHED_ITEM), JobItem.updated_at >= since
        )
    ).scalar_one()
    return recent / max((moment - since).total_seconds(), 0.001)
