"""Taking in uploads: bytes into the originals, rows into the database, a job for the worker.

Everything that the database learns of one upload is one transaction, so a crash leaves either nothing
but bytes that nobody was told of, which `rag check --repair` removes, or a document with a job that a
worker finds.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import update
from sqlalchemy.orm import Session

from corpus.collections import keep_collections
from corpus.database import Database
from corpus.errors import Conflict, CorpusError, QueueFull
from corpus.models import Document, Job, JobItem, note_unused
from corpus.originals import Originals
from indexer.deletion import drop_originals, lock_bytes
from indexer.job_states import FINISHED
from indexer.jobs import add_item, add_items, create_job, find_job, waiting_uploads
from indexer.storable import storable
from indexer.uploads import OnDuplicate, Upload, check_upload, hold_known, place_new, place_upload

Bytes = bytes | Callable[[], Iterable[bytes]]  # the whole, or what opens a fresh stream of the parts
_RACES = 5
_AT_ONCE = 64  # documents a transaction: others wait for the lock that long
_STORING = 8  # files on their way to the disk at once: most of the time they wait for it
_VANISHING = "The same bytes are being deleted again and again; try later."


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of an upload: a job reads it, or it is `duplicate_of` that document."""

    document: Document
    job: Job | None
    duplicate_of: str | None
    superseded: tuple[str, ...] = ()  # hashes of versions that this upload replaced before they were read


class BytesVanished(Exception):
    """A deletion took the bytes between storing and accepting them; store them again."""


def take_in(
    database: Database,
    originals: Originals,
    data: Bytes,
    upload: Upload,
    *,
    on_duplicate: OnDuplicate = "skip",
    queue_size: int | None = None,
    document_id: str | None = None,
) -> Accepted:
    """Store the bytes of one document and queue a job that reads it.

    Args:
        database: the database.
        originals: where the bytes go.
        data: the bytes.
        upload: what the client says about them.
        on_duplicate: if the collection has the same bytes: `skip` them (unless they could not be read
            again the last time), `replace` title and metadata and read them again, or raise an `error`.
            The same external id with new bytes is a new
            version, except with `error`.
        queue_size: how many single documents may wait.
        document_id: the document that the bytes replace, whatever its external id.

    Raises:
        InvalidRequest: a field does not fit; the message names it.
        CollectionNotFound: the collection was deleted since it was looked up.
        Conflict: the bytes are a version that is just being replaced, or uploaded or deleted by others.
        DuplicateDocument: `on_duplicate` is `error` and the document is known, or the document that
            `document_id` or the external id names is to get bytes that another one has.
        DocumentNotFound: there is no document `document_id`.
        QueueFull: too many documents wait.
    """
    check_upload(upload)
    for _ in range(_RACES):
        sha256 = originals.store(data if isinstance(data, bytes) else data()).sha256
        try:
            with database.write() as session:
                accepted = accept_upload(
                    session,
                    upload,
                    sha256,
                    originals=originals,
                    on_duplicate=on_duplicate,
                    queue_size=queue_size,
                    document_id=document_id,
                )
        except BytesVanished:
            continue
        except CorpusError:
            drop_originals(database, originals, [sha256])
            raise
        drop_originals(database, originals, accepted.superseded)
        return accepted
    raise Conflict(_VANISHING)


def accept_upload(
    session: Session,
    upload: Upload,
    sha256: str,
    *,
    originals: Originals,
    job: Job | None = None,
    on_duplicate: OnDuplicate = "skip",
    queue_size: int | None = None,
    document_id: str | None = None,
) -> Accepted:
    """Make the rows for one upload: document, version, job and job item.

    Args:
        session: a write transaction; the caller commits.
        upload: what the client says about the bytes, checked by `check_upload`.
        sha256: hash of the bytes, which are in `originals`.
        originals: where the bytes are.
        job: the job that the document belongs to; None makes one of its own.
        on_duplicate: see `take_in`.
        queue_size: see `take_in`.
        document_id: see `take_in`.

    Raises:
        BytesVanished: the bytes are not in `originals` any more.
        DuplicateDocument, DocumentNotFound, QueueFull: see `take_in`.
    """
    lock_bytes(session, sha256)
    if not originals.exists(sha256):
        raise BytesVanished
    keep_collections(session, [upload.collection_id])
    place = place_upload(session, upload, sha256, on_duplicate=on_duplicate, document_id=document_id)
    if place.version is None:
        if job is not None:
            item = add_item(session, job, name=upload.label, document_id=place.document.id, version=None)
            item.state, item.error = "skipped", f"The same bytes are document {place.document.id}."
        return Accepted(place.document, None, place.document.id, place.superseded)
    if job is None:
        _check_queue(session, queue_size)
        job = create_job(session, "upload", collection_id=upload.collection_id)
    elif place.replaces:
        _fail_copies(session, job, place.document, upload.label)
    add_item(session, job, name=upload.label, document_id=place.document.id, version=place.version)
    return Accepted(place.document, job, None, place.superseded)


def add_to_job(
    database: Database,
    originals: Originals,
    job_id: str,
    uploads: Iterable[tuple[Bytes, Upload]],
    *,
    on_duplicate: OnDuplicate = "skip",
) -> None:
    """Add documents to a job that is receiving, a few in each transaction; workers begin at once.

    One that can not be accepted becomes a failed item of the job; the others go on.

    Raises:
        JobNotFound: there is no such job.
        Conflict: the job is over, or bytes vanish again and again.
    """
    waiting = iter(uploads)
    while portion := list(islice(waiting, _AT_ONCE)):
        _add_portion(database, originals, job_id, portion, on_duplicate)


def _add_portion(
    database: Database,
    originals: Originals,
    job_id: str,
    uploads: Sequence[tuple[Bytes, Upload]],
    on_duplicate: OnDuplicate,
) -> None:
    for _ in range(_RACES):
        stored = _store_all(originals, uploads)
        try:
            with database.write() as session:
                unused = _add_items(session, originals, job_id, stored, on_duplicate)
        except BytesVanished:
            continue
        except CorpusError:
            drop_originals(database, originals, [sha256 for sha256, _ in stored])
            raise
        drop_originals(database, originals, unused)
        return
    raise Conflict(_VANISHING)


def _store_all(originals: Originals, uploads: Sequence[tuple[Bytes, Upload]]) -> list[tuple[str, Upload]]:
    """Keep the bytes of all; return their hashes with what is said about them."""

    def store(data: Bytes) -> str:
        return originals.store(data if isinstance(data, bytes) else data()).sha256

    with ThreadPoolExecutor(_STORING) as threads:
        hashes = threads.map(store, [data for data, _ in uploads])
        return [(sha256, upload) for sha256, (_, upload) in zip(hashes, uploads, strict=True)]


def add_failed_item(session: Session, job_id: str, *, name: str, error: str) -> None:
    """Note in a job that a document could not even be read by its client.

    Raises:
        JobNotFound: there is no such job.
    """
    _fail_item(session, find_job(session, job_id, lock=True), name, error)


def _add_items(
    session: Session,
    originals: Originals,
    job_id: str,
    stored: Sequence[tuple[str, Upload]],
    on_duplicate: OnDuplicate,
) -> list[str]:
    """Add uploads to a job; return the hashes of what was superseded or refused, which may be unused now."""
    job = find_job(session, job_id, lock=True)
    if job.state in FINISHED:
        raise Conflict(f"Job {job_id} is {job.state}; start a new one.")
    for sha256 in sorted({sha256 for sha256, _ in stored}):
        lock_bytes(session, sha256)  # in one order, so that two such transactions never wait for each other
    keep_collections(session, {upload.collection_id for _, upload in stored})
    if _add_new(session, originals, job, stored):
        return []
    hold_known(session, stored)
    unused: list[str] = []
    refused: list[str] = []
    for sha256, upload in stored:
        try:
            check_upload(upload)
            accepted = accept_upload(
                session, upload, sha256, originals=originals, job=job, on_duplicate=on_duplicate
            )
        except CorpusError as error:
            _fail_item(session, job, upload.label, str(error))
            refused.append(sha256)
        else:
            unused += accepted.superseded
    note_unused(session, refused)
    return unused + refused


def _add_new(session: Session, originals: Originals, job: Job, stored: Sequence[tuple[str, Upload]]) -> bool:
    """Add documents that are all new and as they should be; False: look at each by itself.

    Raises:
        BytesVanished: see `accept_upload`.
    """
    try:
        for _, upload in stored:
            check_upload(upload)
    except CorpusError:
        return False
    if not all(originals.exists(sha256) for sha256, _ in stored):
        raise BytesVanished
    places = place_new(session, stored)
    if places is None:
        return False
    named = [
        (upload.label, place.document.id, place.version)
        for (_, upload), place in zip(stored, places, strict=True)
    ]
    add_items(session, job, named)
    return True


def _fail_item(session: Session, job: Job, name: str, error: str) -> None:
    item = add_item(session, job, name=name, document_id=None, version=None)
    item.state, item.error, item.error_kind = "failed", storable(error), "permanent"
    session.flush()


def _fail_copies(session: Session, job: Job, document: Document, name: str) -> None:
    """Take back that other files of a job are known already: they were, as what it goes on to replace."""
    copies = (
        JobItem.job_id == job.id,
        JobItem.state == "skipped",
        JobItem.document_id == document.id,
        JobItem.name != storable(name),
    )
    error = f"The same bytes were document {document.id}, which this job replaces; send them again after it."
    values = {"state": "failed", "error": error, "error_kind": "permanent"}
    session.execute(update(JobItem).where(*copies).values(**values))


def _check_queue(session: Session, queue_size: int | None) -> None:
    if queue_size is not None and waiting_uploads(session, at_most=queue_size) >= queue_size:
        raise QueueFull(f"{queue_size} documents wait already; try again in a few seconds.")
