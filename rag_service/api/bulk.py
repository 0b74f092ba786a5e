"""Many documents as one job: files of a form, or lines of JSON."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from pydantic import ValidationError
from starlette.datastructures import UploadFile

from corpus.errors import CorpusError, EmptyDocument, InvalidRequest
from indexer.intake import Bytes, add_failed_item, add_to_job
from indexer.jobs import create_job, seal_job
from indexer.uploads import EXACT_TEXT, OnDuplicate, Upload
from rag_service.api.bodies import parts_of
from rag_service.api.errors import field_path
from rag_service.api.schemas.jobs import IngestionForm, IngestionRecord
from rag_service.api.uploads import Content, collection_for_upload
from rag_service.service import Service

_AT_ONCE = 50
_SHOWN = 80


def take_in_files(service: Service, files: Sequence[UploadFile], fields: IngestionForm) -> str:
    """Make a job of the files and return its id; the worker may begin before the last one is stored.

    Raises:
        CollectionNotFound: there is no such collection.
    """
    collection_id = collection_for_upload(service, fields.collection)

    def read(file: UploadFile) -> tuple[Bytes, Upload]:
        content = Content(parts_of(file, service.limits.upload_bytes), file.filename, file.content_type)
        return content.data, content.upload(collection_id, metadata=fields.metadata)

    named = ((file.filename or "file", lambda file=file: read(file)) for file in files)
    with _job(service, collection_id) as job_id:
        _add(service, job_id, named, on_duplicate=fields.on_duplicate)
    return job_id


def take_in_records(service: Service, body: bytes) -> str:
    """Make a job of JSON lines, each a text with its fields, and return its id.

    Raises:
        EmptyDocument: there is no line.
        CollectionNotFound: a line names a collection that does not exist.
    """
    lines = [line for line in body.splitlines() if line.strip()]
    if not lines:
        raise EmptyDocument("The body has no lines; send one JSON object a line.")
    collections: dict[str, str] = {}

    def read(line: bytes) -> tuple[Bytes, Upload]:
        record = _record(line)
        if record.collection not in collections:
            collections[record.collection] = collection_for_upload(service, record.collection)
        upload = Content(b"", None, EXACT_TEXT).upload(
            collections[record.collection],
            title=record.title,
            metadata=record.metadata,
            external_id=record.external_id,
        )
        return record.text.encode(), upload

    named = (
        (f"line {number}: {line[:_SHOWN].decode(errors='replace')}", lambda line=line: read(line))
        for number, line in enumerate(lines, start=1)
    )
    with _job(service, None) as job_id:
        _add(service, job_id, named, on_duplicate="skip")
    return job_id


@contextmanager
def _job(service: Service, collection_id: str | None) -> Iterator[str]:
    """Open a job for the time of the block; whatever happens in it, the job can end afterwards."""
    with service.database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection_id, receiving=True).id
    try:
        yield job_id
    finally:
        with service.database.write() as session:
            seal_job(session, job_id)


def _add(
    service: Service,
    job_id: str,
    named: Iterable[tuple[str, Callable[[], tuple[Bytes, Upload]]]],
    *,
    on_duplicate: OnDuplicate,
) -> None:
    """Add what can be read, in batches; what can not is noted as a failed item in its place."""
    uploads: list[tuple[Bytes, Upload]] = []

    def flush() -> None:
        if uploads:
            add_to_job(service.database, service.originals, job_id, uploads, on_duplicate=on_duplicate)
            uploads.clear()

    for name, read in named:
        try:
            uploads.append(read())
        except CorpusError as error:
            flush()
            with service.database.write() as session:
                add_failed_item(session, job_id, name=name, error=str(error))
        if len(uploads) == _AT_ONCE:
            flush()
    flush()


def _record(line: bytes) -> IngestionRecord:
    try:
        return IngestionRecord.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = field_path(first["loc"])
        raise InvalidRequest(f"{place}: {first['msg']}." if place else f"{first['msg']}.") from error
