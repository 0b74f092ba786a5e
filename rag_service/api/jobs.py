"""`/v1/ingestion_jobs`: many files at once, and how far they are."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated

import anyio
from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.responses import StreamingResponse

from corpus.errors import CollectionNotFound, Conflict, InvalidCursor, JobNotFound
from indexer import jobs, progress, rebuilds
from indexer.job_states import FINISHED
from indexer.progress import ItemProgress, JobProgress
from rag_service.api import errors
from rag_service.api.bodies import check_fields, files_of, is_form, read_form, spooled_body
from rag_service.api.bulk import collection_deleted, known_job, take_in_files, take_in_records
from rag_service.api.cursors import DEFAULT_LIMIT, Cursor, Limit, cut_page, id_after, position_after
from rag_service.api.dependencies import NO_NUL, ServiceDep, require, require_also
from rag_service.api.errors import KINDS
from rag_service.api.openapi import events, problems, upload_body
from rag_service.api.schemas.jobs import (
    IngestionForm,
    IngestionRecord,
    ItemStatus,
    JobCounts,
    JobItemOut,
    JobItemPage,
    JobOut,
    JobPage,
)
from rag_service.api.sse import HEARTBEAT, HEARTBEAT_S, sse_event
from rag_service.service import Service

router = APIRouter(
    prefix="/v1/ingestion_jobs", tags=["ingestion jobs"], dependencies=[require("documents:write")]
)
JobId = Annotated[str, Path(max_length=200, pattern=NO_NUL, description="A job's id.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=150,
        pattern=NO_NUL,
        description="Your own name for this request: a repetition returns the job of the first one.",
    ),
]
MAX_FILES = 10_000
_LOOK_EVERY_S = 0.5
_NOT_FOUND = KINDS[JobNotFound]


@router.post(
    "",
    status_code=202,
    summary="Upload many documents",
    responses=problems(
        errors.MALFORMED,
        KINDS[CollectionNotFound],
        KINDS[Conflict],
        errors.TOO_LARGE,
        errors.UNSUPPORTED_TYPE,
        errors.INVALID,
        errors.DISK_FULL,
        errors.NOT_READY,
    ),
    openapi_extra=upload_body(IngestionRecord, IngestionForm, files="files", json_type="application/jsonl"),
)
async def create_job(request: Request, service: ServiceDep, idempotency_key: IdempotencyKey = None) -> JobOut:
    """Take in many files (a form with fields `files`), or texts (JSONL), as one job.

    An archive (zip, tar) stands for its members, a file of JSON lines for its lines. What can not be read
    becomes a failed item of the job; the others go on.
    """
    # An empty one names nothing: all requests that have it would be repetitions of the first.
    key = f"{getattr(request.state, 'caller', '')}:{idempotency_key}" if idempotency_key else None
    job_id = await anyio.to_thread.run_sync(known_job, service, key)
    if job_id is None:
        job_id = await _take_in(request, service, key)
    try:
        return await anyio.to_thread.run_sync(_read, service, job_id)
    except JobNotFound as error:
        raise collection_deleted() from error


async def _take_in(request: Request, service: Service, key: str | None) -> str:
    if not is_form(request, other="application/jsonl"):
        async with spooled_body(request) as body:
            return await anyio.to_thread.run_sync(partial(take_in_records, service, body, key=key))
    async with read_form(request, max_files=MAX_FILES) as form:
        fields = check_fields(form, IngestionForm, files="files")
        files = files_of(form, "files")
        return await anyio.to_thread.run_sync(partial(take_in_files, service, files, fields, key=key))


@router.get("", summary="List jobs", responses=problems(KINDS[InvalidCursor], errors.INVALID))
def list_jobs(service: ServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> JobPage:
    """Return the jobs, newest first."""
    with service.database.read() as session:
        rows = progress.list_jobs(session, limit=limit + 1, before=id_after(cursor))
    page, next_cursor = cut_page(rows, limit, lambda row: row.id)
    return JobPage(data=[job_out(row) for row in page], next_cursor=next_cursor)


@router.get("/{job_id}", summary="Get a job", responses=problems(_NOT_FOUND, errors.INVALID))
def get_job(job_id: JobId, service: ServiceDep) -> JobOut:
    """Return how far a job is."""
    return _read(service, job_id)


@router.get(
    "/{job_id}/items",
    summary="List a job's documents",
    responses=problems(_NOT_FOUND, KINDS[InvalidCursor], errors.INVALID),
)
def list_items(
    job_id: JobId,
    service: ServiceDep,
    status: Annotated[ItemStatus | None, Query(description="Only those in this status.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> JobItemPage:
    """Return the job's items in the order of the upload; with `status=failed`, the dead letters."""
    with service.database.read() as session:
        rows = progress.list_items(
            session, job_id, state=status, limit=limit + 1, after=position_after(cursor)
        )
    page, next_cursor = cut_page(rows, limit, lambda row: row.position)
    return JobItemPage(data=[_item_out(row) for row in page], next_cursor=next_cursor)


@router.get(
    "/{job_id}/events",
    summary="Watch a job",
    response_class=StreamingResponse,
    responses={
        200: events("Events `progress` and, at the end, `done`; the data is the job."),
        **problems(_NOT_FOUND, errors.INVALID),
    },
)
async def watch_job(job_id: JobId, service: ServiceDep) -> StreamingResponse:
    """Send the job whenever it has changed, until it ends; watching changes nothing."""
    first = await anyio.to_thread.run_sync(_read, service, job_id)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(_watch(service, first), media_type="text/event-stream", headers=headers)


@router.post(
    "/{job_id}/cancel",
    summary="Cancel a job",
    responses=problems(_NOT_FOUND, KINDS[Conflict], errors.INVALID),
)
def cancel_job(job_id: JobId, request: Request, service: ServiceDep) -> JobOut:
    """Leave out what was not begun; what was read stays. A job that is over stays as it is.

    The new index of a reindex, which is listed here too, is thrown away; that needs the scope `admin`.
    """
    with service.database.write() as session:
        job = jobs.find_job(session, job_id, lock=True)
        rebuild = job.kind in rebuilds.REBUILDS
        if rebuild:
            require_also(request, service, "admin")
        cancel = rebuilds.cancel_reindex if rebuild and job.state not in FINISHED else jobs.cancel_job
        cancel(session, job_id)
    return _read(service, job_id)


@router.post(
    "/{job_id}/retry",
    summary="Try a job's failed documents again",
    responses=problems(_NOT_FOUND, KINDS[Conflict], errors.INVALID),
)
def retry_job(job_id: JobId, service: ServiceDep) -> JobOut:
    """Queue the failed items again; the others stay as they are."""
    with service.database.write() as session:
        if not jobs.retry_job(session, job_id):
            raise Conflict(f"Job {job_id} has no failed documents that could be tried again.")
    return _read(service, job_id)


def job_out(job: JobProgress) -> JobOut:
    """Return a job as it is sent."""
    return JobOut(
        id=job.id,
        kind=job.kind,
        status=job.status,
        counts=JobCounts.model_validate(job.counts),
        stage=job.stage,
        rate=job.rate,
        eta_s=job.eta_s,
        error=job.error,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )


def _read(service: Service, job_id: str) -> JobOut:
    with service.database.read() as session:
        return job_out(progress.job_progress(session, job_id))


async def _watch(service: Service, job: JobOut) -> AsyncIterator[bytes]:
    yield _event(job)
    silent_s = 0.0
    while job.status not in FINISHED:
        await anyio.sleep(_LOOK_EVERY_S)
        seen = job
        try:
            job = await anyio.to_thread.run_sync(_read, service, job.id)
        except JobNotFound:  # its collection was deleted
            return
        silent_s += _LOOK_EVERY_S
        if job != seen:
            yield _event(job)
        elif silent_s >= HEARTBEAT_S:
            yield HEARTBEAT
        else:
            continue
        silent_s = 0.0


def _event(job: JobOut) -> bytes:
    name = "done" if job.status in FINISHED else "progress"
    return sse_event(job.model_dump_json(), name=name)


def _item_out(item: ItemProgress) -> JobItemOut:
    return JobItemOut(
        position=item.position,
        name=item.name,
        document_id=item.document_id,
        status=item.state,
        error=item.error,
        error_kind=item.error_kind,
        attempts=item.attempts,
    )
