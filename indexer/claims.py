"""Which documents of a job a worker reads next, and what becomes of those that can not be read."""

from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from corpus.collections import keep_collections
from corpus.models import Document, DocumentVersion, Job, JobItem, now
from indexer.deletion import bury_early_chunks
from indexer.job_states import FINISHED
from indexer.jobs import is_of_kept_text
from indexer.storable import storable

BATCH_ITEMS = 32
TRIES = 3
_SUSPECT_AFTER = 3  # a document that was being read when this many workers died is read alone
_POISON_AFTER = 10
_BACKOFF = timedelta(seconds=1)
_LONGEST_ERROR = 1000
_POISON = f"The worker died {_POISON_AFTER} times while reading this document."
_GONE = "The document was deleted or replaced before it was read."


Candidate = tuple[JobItem, DocumentVersion | None, Document | None]


@dataclass(frozen=True, slots=True)
class Work:
    """One document version to read, as an item of a job; `of_kept_text`: not its bytes, see `create_job`."""

    job_id: str
    position: int
    attempts: int
    document_id: str
    version: int
    collection_id: str
    sha256: str
    filename: str | None
    title: str | None
    media_type: str | None
    external_id: str | None
    of_kept_text: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A document that could not be read; `permanent`: reading it again would not help."""

    work: Work
    error: str
    permanent: bool


def claim_batch(session: Session, job_id: str) -> list[Work]:
    """Mark the next items of a job as running and return them.

    Items that are running already come first: their worker died, for a job has one workflow at a time.
    Items whose version is gone are skipped, those that failed a moment ago are left for later.
    """
    works: list[Work] = []
    of_kept_text = is_of_kept_text(session.get_one(Job, job_id))
    for item, version, document in _candidates(session, job_id):
        if version is None or document is None:
            item.state, item.error = "skipped", _GONE
            continue
        if item.state == "running" and item.attempts >= _POISON_AFTER:
            record_failure(session, Failure(_work(item, version, document), _POISON, permanent=True))
            continue
        suspect = item.state == "running" and item.attempts >= _SUSPECT_AFTER
        if suspect and works:
            break
        item.state, item.attempts = "running", item.attempts + 1
        if document.status == "pending":
            document.status = "processing"
        works.append(replace(_work(item, version, document), of_kept_text=of_kept_text))
        if suspect:
            break
    session.flush()
    return works


def _candidates(session: Session, job_id: str) -> list[Candidate]:
    running = _items(session, JobItem.job_id == job_id, JobItem.state == "running")
    if running:
        return running
    moment = now()
    # What failed in the future failed before the clock was set back; a little, by another machine's clock.
    long_ago, ahead = JobItem.updated_at < moment - _BACKOFF, JobItem.updated_at > moment + _BACKOFF
    rested = or_(JobItem.attempts == 0, long_ago, ahead)
    return _items(session, JobItem.job_id == job_id, JobItem.state == "queued", rested)


def _items(session: Session, *conditions: ColumnElement[bool]) -> list[Candidate]:
    """Return the first items that fit; the index on job, state and position gives them in order."""
    rows = session.execute(
        select(JobItem, DocumentVersion, Document)
        .outerjoin(
            DocumentVersion,
            (DocumentVersion.document_id == JobItem.document_id)
            & (DocumentVersion.version == JobItem.version),
        )
        .outerjoin(Document, Document.id == DocumentVersion.document_id)
        .where(*conditions)
        .order_by(JobItem.position)
        .limit(BATCH_ITEMS)
    )
    return [(row[0], row[1], row[2]) for row in rows]


def with_present_title(session: Session, work: Work) -> Work:
    """Return the work with the title that the version has now."""
    title = session.scalar(
        select(DocumentVersion.title).where(
            DocumentVersion.document_id == work.document_id, DocumentVersion.version == work.version
        )
    )
    return replace(work, title=title)


def record_failure(session: Session, failure: Failure) -> bool:
    """Note what could not be read: to be tried again while its job goes on, or failed with its reason.

    Returns:
        Whether that matters. Nobody wants a version any more that was deleted or replaced while it was read:
        its item is skipped, for its bytes may be gone, and whatever comes of that is no fault.
    """
    work = failure.work
    # The job, the collection, the document, the item: as in `indexer.deletion`. Then they are what they stay.
    job_state = session.scalar(select(Job.state).where(Job.id == work.job_id).with_for_update(read=True))
    keep_collections(session, [work.collection_id])
    document = session.scalar(
        select(Document)
        .where(Document.id == work.document_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    key = (work.document_id, work.version)
    version = session.get(DocumentVersion, key, populate_existing=True) if document else None
    item = session.get(JobItem, (work.job_id, work.position))
    if item is None:
        return False  # the collection was deleted, and its jobs with it
    if document is None or version is None or version.sha256 != work.sha256:
        if item.state == "running":
            item.state, item.error, item.error_kind = "skipped", _GONE, None
            session.flush()
        return False
    item.error = storable(failure.error)[:_LONGEST_ERROR]
    item.error_kind = "permanent" if failure.permanent else "transient"
    if failure.permanent or work.attempts >= TRIES or job_state in FINISHED:
        item.state = "failed"
        _fail_version(session, document, version, item.error)
    else:
        item.state = "queued"
    session.flush()
    return True


def _fail_version(session: Session, document: Document, version: DocumentVersion, error: str) -> None:
    """Mark a version as failed; a current one, and what readers see of the document, stay as they are."""
    if version.state == "pending":
        version.state = "failed"
    document.error = error
    if document.status in {"pending", "processing"}:
        document.status = "failed"
        bury_early_chunks(session, document.id)


def _work(item: JobItem, version: DocumentVersion, document: Document) -> Work:
    return Work(
        job_id=item.job_id,
        position=item.position,
        attempts=item.attempts,
        document_id=version.document_id,
        version=version.version,
        collection_id=version.collection_id,
        sha256=version.sha256,
        filename=version.filename,
        title=version.title,
        media_type=version.media_type,
        external_id=document.external_id,
    )
