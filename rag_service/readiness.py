"""Whether the service can do its work, and if not, what is missing."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from corpus import migrations
from corpus.models import ActiveGeneration, Collection, Job, JobItem
from indexer.jobs import waiting_uploads
from rag_service.metrics import Levels
from rag_service.service import Service

_OPEN = ("queued", "running")
_NO_WORKER = "no worker runs, documents wait; `rag serve` starts one again after some seconds"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed; `problem` tells what is wrong, None: nothing is."""

    name: str
    problem: str | None


def check_readiness(service: Service) -> tuple[Check, ...]:
    """Look at everything that requests need; takes milliseconds."""
    return (*_check_database(service), *_check_parts(service))


def current_levels(service: Service) -> Levels:
    """Return what the metrics show of this moment."""
    try:
        with service.database.read() as session:
            queued = waiting_documents(session)
    except SQLAlchemyError:
        queued = -1  # not known: the rest of the metrics is needed most when the database is away
    parts = (service.embedder, service.chat_model)
    return Levels(queued, {part.name: part.state == "ready" for part in parts})


def waiting_documents(session: Session) -> int:
    """Count the documents that wait for ingestion or are in it."""
    items = (
        select(func.count())
        .select_from(JobItem)
        .join(Job, Job.id == JobItem.job_id)
        .where(Job.state.in_(_OPEN), JobItem.state.in_(_OPEN))
    )
    return session.execute(items).scalar_one()


def _check_parts(service: Service) -> Iterator[Check]:
    for part in (service.embedder, service.retriever, service.chat_model, service.answerer):
        yield Check(part.name, part.problem)
    if service.worker_place == "thread":
        yield Check(service.worker.name, service.worker.problem)


def _check_database(service: Service) -> Iterator[Check]:
    try:
        revision, newest = migrations.current_revision(service.database), migrations.newest_revision()
        if revision != newest:
            yield Check("database", f"the database is at revision {revision or 'none'}; run `rag migrate`")
            return
        yield Check("database", None)
        with service.database.read() as session:
            yield Check("generation", _generation_problem(session))
            yield Check("queue", _queue_problem(session, service.limits.queue_size))
        if service.worker_place == "process":
            yield Check("worker", None if service.slots.is_any_held() else _NO_WORKER)
    except SQLAlchemyError as error:
        yield Check("database", f"the database does not answer ({type(error).__name__})")


def _generation_problem(session: Session) -> str | None:
    """A collection without an active generation can not be searched."""
    served = select(ActiveGeneration.collection_id)
    name = session.scalar(select(Collection.name).where(Collection.id.not_in(served)).limit(1))
    return name and f"collection {name!r} has no active generation; run `rag reindex`"


def _queue_problem(session: Session, room: int) -> str | None:
    """Tell whether uploads are turned away; the documents of bulk jobs, of which there are many, are not."""
    full = waiting_uploads(session, at_most=room) >= room
    return f"{room} uploads wait already; try again later" if full else None
