"""Many documents as one job: files of a form, members of archives, lines of JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from starlette.datastructures import UploadFile

from corpus.errors import CollectionNotFound, Conflict, CorpusError, EmptyDocument, JobNotFound
from corpus.models import Collection, Job
from indexer.intake import Bytes, add_failed_item, add_to_job
from indexer.jobs import RECEIVING, create_job, seal_job
from indexer.uploads import OnDuplicate, Upload
from rag_service.api.bodies import parts_of, said_type
from rag_service.api.schemas.jobs import IngestionForm
from rag_service.api.uploads import Content, collection_for_upload
from rag_service.service import Service
from rag_service.sources import archives, records
from rag_service.sources.source import READ_BYTES, Source, no_parts

_AT_ONCE = 50
_BYTES_AT_ONCE = 8 << 20
_UNPACKED_FILES = 20  # an archive may unpack to as much as this many largest files

Read = Callable[[], tuple[Bytes, Upload]]


@dataclass(frozen=True, slots=True)
class Named:
    """A document on its way in; `read` may raise why it can not be taken in."""

    name: str
    read: Read


class JobKnown(Exception):
    """A job with this idempotency key is there already."""

    def __init__(self, job_id: str) -> None:
        super().__init__(job_id)
        self.job_id = job_id


def known_job(service: Service, key: str | None) -> str | None:
    """Return the id of the job that an earlier request with the same key made.

    Raises:
        Conflict: that request is still being taken in.
    """
    if key is None:
        return None
    with service.database.read() as session:
        job = session.scalar(select(Job).where(Job.idempotency_key == key))
        if job is None:
            return None
        if job.stage == RECEIVING:
            raise Conflict("The first request with this Idempotency-Key is still being taken in; try again.")
        return job.id


def take_in_files(
    service: Service, files: Sequence[UploadFile], fields: IngestionForm, *, key: str | None = None
) -> str:
    """Make a job of the files and return its id; the worker may begin before the last one is stored.

    An archive stands for its members, a file of JSON lines for its lines.

    Raises:
        CollectionNotFound: there is no such collection.
        Conflict: see `known_job`.
    """
    collection_id = collection_for_upload(service, fields.collection)
    named = (each for file in files for each in _documents_of(service, file, collection_id, fields))
    return _take_in(service, collection_id, named, on_duplicate=fields.on_duplicate, key=key)


def take_in_records(service: Service, body: IO[bytes], *, key: str | None = None) -> str:
    """Make a job of JSON lines, each a text with its fields, and return its id.

    Raises:
        EmptyDocument: there is no line.
        CollectionNotFound: a line names a collection that does not exist.
        Conflict: see `known_job`.
    """
    if not any(part.strip() for part in iter(partial(body.read, READ_BYTES), b"")):
        raise EmptyDocument("The body has no lines; send one JSON object a line.")
    body.seek(0)
    return _take_in(service, None, _lines(service, "body", body), on_duplicate="skip", key=key)


def _documents_of(
    service: Service, file: UploadFile, collection_id: str, fields: IngestionForm
) -> Iterator[Named]:
    name = file.filename or "file"
    if archives.is_archive(name):
        limit = service.limits.upload_bytes
        for source in _bounded(name, archives.members(name, file.file), _UNPACKED_FILES * limit):
            yield Named(source.label, _reader(source, limit, collection_id, fields))
    elif records.has_lines(name):
        yield from _lines(service, name, file.file, fields)
    else:

        def read() -> tuple[Bytes, Upload]:
            parts = parts_of(file, service.limits.upload_bytes)
            data = b"".join(parts()) if (file.size or 0) <= READ_BYTES else parts
            content = Content(data, file.filename, said_type(file))
            return content.data, content.upload(collection_id, metadata=fields.metadata)

        yield Named(name, read)


def _bounded(name: str, members: Iterable[Source], most_bytes: int) -> Iterator[Source]:
    """Yield an archive's members until together they have more bytes than that; then itself as a problem."""
    total = 0
    for member in members:
        total += member.size
        if total > most_bytes:
            problem = f"The archive unpacks to more than {most_bytes >> 20} MiB; send the rest in parts."
            yield Source(name, no_parts, 0, problem=problem)
            return
        yield member


def _reader(source: Source, limit: int, collection_id: str, fields: IngestionForm) -> Read:
    def read() -> tuple[Bytes, Upload]:
        try:
            data = source.open(most_bytes=limit)
        except archives.DAMAGED as error:
            raise EmptyDocument(f"It can not be read from the archive ({error}); make it again.") from error
        upload = source.upload(collection_id)
        return data, Upload(
            collection_id,
            filename=upload.filename,
            media_type=upload.media_type,
            external_id=upload.external_id,
            metadata=fields.metadata,
        )

    return read


def _lines(
    service: Service, name: str, file: IO[bytes], fields: IngestionForm | None = None
) -> Iterator[Named]:
    """Yield the documents of JSON lines; a line's own fields go before those of the form."""
    collections: dict[str, str] = {}
    fallback = fields.collection if fields else "default"

    def reader(source: Source) -> Read:
        def read() -> tuple[Bytes, Upload]:
            data = source.open(most_bytes=service.limits.upload_bytes)
            wanted = source.collection or fallback
            if wanted not in collections:
                collections[wanted] = collection_for_upload(service, wanted)
            return data, source.upload(collections[wanted])

        return read

    metadata = fields.metadata if fields else None
    for source in records.lines(name, file, longest=service.limits.upload_bytes, metadata=metadata):
        yield Named(source.label, reader(source))


def _take_in(
    service: Service,
    collection_id: str | None,
    named: Iterable[Named],
    *,
    on_duplicate: OnDuplicate,
    key: str | None,
) -> str:
    try:
        with _job(service, collection_id, key) as job_id:
            _add(service, job_id, named, on_duplicate=on_duplicate)
    except JobKnown as known:
        return known.job_id
    return job_id


@contextmanager
def _job(service: Service, collection_id: str | None, key: str | None) -> Iterator[str]:
    """Open a job for the time of the block; whatever happens in it, the job can end afterwards.

    If something does, the key is free again: the client will repeat the whole request.

    Raises:
        JobKnown, Conflict: another request with the same key was faster.
        CollectionNotFound: the collection was deleted since it was looked up, or is while the block works.
    """
    try:
        with service.database.write() as session:
            job_id = create_job(
                session, "ingestion", collection_id=collection_id, receiving=True, idempotency_key=key
            ).id
    except IntegrityError as error:
        known = known_job(service, key)
        if known is None:
            raise _what_went(service, collection_id) from error
        raise JobKnown(known) from error
    complete = False
    try:
        try:
            yield job_id
            complete = True
        finally:
            with service.database.write() as session:
                seal_job(session, job_id)
                if not complete:
                    session.get_one(Job, job_id).idempotency_key = None
    except JobNotFound as error:  # it goes with its collection alone
        raise collection_deleted() from error


def collection_deleted() -> CollectionNotFound:
    """Return the error for an upload whose collection was deleted while it arrived."""
    return CollectionNotFound("The collection was deleted at this moment; choose another one.")


def _what_went(service: Service, collection_id: str | None) -> CorpusError:
    """Return why a job could not be made: what it needs was there a moment ago, or what forbade it."""
    if collection_id is not None:
        with service.database.read() as session:
            if session.get(Collection, collection_id) is None:
                return collection_deleted()
    return Conflict("The first request with this Idempotency-Key broke off at this moment; send it again.")


def _add(service: Service, job_id: str, named: Iterable[Named], *, on_duplicate: OnDuplicate) -> None:
    """Add what can be read, in batches; what can not is noted as a failed item in its place."""
    uploads: list[tuple[Bytes, Upload]] = []
    size = 0

    def flush() -> None:
        if uploads:
            add_to_job(service.database, service.originals, job_id, uploads, on_duplicate=on_duplicate)
            uploads.clear()

    def fail(name: str, error: CorpusError) -> None:
        flush()
        with service.database.write() as session:
            add_failed_item(session, job_id, name=name, error=str(error))

    for each in named:
        try:
            uploads.append(each.read())
        except CorpusError as error:
            fail(each.name, error)
            continue
        data = uploads[-1][0]
        size += len(data) if isinstance(data, bytes) else _BYTES_AT_ONCE  # its archive may be closed soon
        if len(uploads) == _AT_ONCE or size >= _BYTES_AT_ONCE:
            flush()
            size = 0
    flush()
