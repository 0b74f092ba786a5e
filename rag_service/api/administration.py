"""`/v1/admin/…`: generations, reindexes, consistency."""

from collections.abc import Iterator
from typing import Annotated

import anyio
from fastapi import APIRouter, Body, Path, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.chunks import Chunking
from corpus.collections import find_collection
from corpus.errors import (
    CollectionNotFound,
    Conflict,
    EmbedderMismatch,
    GenerationNotFound,
    InvalidCursor,
    JobNotFound,
    ModelError,
)
from corpus.models import Collection, Generation, Job
from indexer import consistency, rebuilds, repair
from indexer.generations import find_generation, list_generations
from indexer.jobs import find_job
from indexer.progress import job_progress
from indexer.reindexing import activate_generation
from indexer.trial import Trial, TrialQuestion
from rag_service.answering.conversation import record_to_json
from rag_service.api import errors
from rag_service.api.cursors import DEFAULT_LIMIT, Cursor, Limit, cut_page, id_after
from rag_service.api.dependencies import NO_NUL, ServiceDep, require
from rag_service.api.embedders import any_embedder
from rag_service.api.errors import KINDS
from rag_service.api.jobs import job_out
from rag_service.api.openapi import problems
from rag_service.api.schemas.administration import (
    CheckReport,
    FindingOut,
    GenerationOut,
    GenerationPage,
    NewCheck,
    NewReindex,
    NewTrial,
    ReindexOut,
    ReindexPage,
)
from rag_service.api.schemas.collections import ChunkingOut
from rag_service.feedback import training_records
from rag_service.service import Service

router = APIRouter(prefix="/v1/admin", tags=["administration"], dependencies=[require("admin")])
GenerationId = Annotated[str, Path(max_length=200, pattern=NO_NUL, description="A generation's id.")]
ReindexId = Annotated[str, Path(max_length=200, pattern=NO_NUL, description="Id of the reindex's job.")]
_BODY_PROBLEMS = (errors.MALFORMED, errors.TOO_LARGE, errors.INVALID)


@router.get(
    "/generations",
    summary="List generations",
    responses=problems(KINDS[CollectionNotFound], KINDS[InvalidCursor], errors.INVALID),
)
def get_generations(
    service: ServiceDep,
    collection: Annotated[
        str | None, Query(max_length=200, pattern=NO_NUL, description="Only of this one: name or id.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> GenerationPage:
    """Return the generations, newest first: the active one, those kept for a rollback, those being built."""
    after = id_after(cursor)
    with service.database.read() as session:
        collection_id = None if collection is None else find_collection(session, collection).id
        rows = [row for row in list_generations(session, collection_id) if after is None or row.id < after]
        page, next_cursor = cut_page(rows[: limit + 1], limit, lambda row: row.id)
        return GenerationPage(data=[generation_out(session, row) for row in page], next_cursor=next_cursor)


@router.post(
    "/generations/{generation_id}/activate",
    summary="Let a generation serve",
    responses=problems(KINDS[GenerationNotFound], KINDS[Conflict], errors.INVALID),
)
def activate(generation_id: GenerationId, service: ServiceDep) -> GenerationOut:
    """Switch to a generation that is ready, or back to a former one, at once."""
    activate_generation(service.database, generation_id)
    with service.database.read() as session:
        return generation_out(session, find_generation(session, generation_id))


@router.post(
    "/reindexes",
    status_code=202,
    summary="Build a new generation",
    responses=problems(
        *_BODY_PROBLEMS,
        KINDS[CollectionNotFound],
        KINDS[Conflict],
        KINDS[EmbedderMismatch],
        KINDS[ModelError],
        errors.NOT_READY,
    ),
)
def create_reindex(
    service: ServiceDep,
    new: Annotated[NewReindex, Body(description="What is to be built.")] = NewReindex(),  # noqa: B008 - frozen use
) -> ReindexOut:
    """Build a generation from the stored texts beside the active one, verify it, and switch to it.

    Without a body the default collection's index is built anew, as it is.
    """
    embedder, source = any_embedder(service, new.embedder)
    with service.database.write() as session:
        rebuilds.note_source(session, service.embedder.get().id, service.embedder_source)
        job = rebuilds.request_reindex(
            session,
            find_collection(session, new.collection).id,
            embedder=embedder,
            source=source,
            max_tokens=new.chunking.max_tokens,
            overlap=new.chunking.overlap,
            index_type=new.index,
            manual=new.manual,
            trial=_trial(new.evaluation) if new.evaluation else None,
        )
        return _reindex_out(session, job)


@router.get("/reindexes", summary="List reindexes", responses=problems(KINDS[InvalidCursor], errors.INVALID))
def list_reindexes(service: ServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> ReindexPage:
    """Return reindexes and compactions, newest first."""
    statement = select(Job).where(Job.kind.in_(rebuilds.REBUILDS)).order_by(Job.id.desc()).limit(limit + 1)
    before = id_after(cursor)
    if before is not None:
        statement = statement.where(Job.id < before)
    with service.database.read() as session:
        page, next_cursor = cut_page(session.scalars(statement).all(), limit, lambda row: row.id)
        return ReindexPage(data=[_reindex_out(session, row) for row in page], next_cursor=next_cursor)


@router.get(
    "/reindexes/{job_id}", summary="Get a reindex", responses=problems(KINDS[JobNotFound], errors.INVALID)
)
def get_reindex(job_id: ReindexId, service: ServiceDep) -> ReindexOut:
    """Return how far a reindex is."""
    with service.database.read() as session:
        job = find_job(session, job_id)
        if job.kind not in rebuilds.REBUILDS:
            raise JobNotFound(f"Job {job_id} is no reindex; `GET /v1/ingestion_jobs/{job_id}` has it.")
        return _reindex_out(session, job)


@router.post(
    "/reindexes/{job_id}/promote",
    summary="Switch to what a reindex built",
    responses=problems(KINDS[JobNotFound], KINDS[Conflict], errors.INVALID),
)
def promote(job_id: ReindexId, service: ServiceDep) -> ReindexOut:
    """Let a reindex that stopped at `ready` go on: it catches up and switches."""
    with service.database.write() as session:
        return _reindex_out(session, rebuilds.request_promotion(session, job_id))


@router.post(
    "/reindexes/{job_id}/cancel",
    summary="Cancel a reindex",
    responses=problems(KINDS[JobNotFound], KINDS[Conflict], errors.INVALID),
)
def cancel(job_id: ReindexId, service: ServiceDep) -> ReindexOut:
    """Give up a reindex and throw away what it built; what serves goes on serving."""
    with service.database.write() as session:
        return _reindex_out(session, rebuilds.cancel_reindex(session, job_id))


@router.post(
    "/consistency_checks",
    summary="Compare database, indexes and files",
    responses=problems(*_BODY_PROBLEMS),
)
async def check_consistency(
    service: ServiceDep,
    how: Annotated[NewCheck, Body(description="How closely.")] = NewCheck(),  # noqa: B008 - frozen use
) -> CheckReport:
    """Look for what does not agree, and mend it if asked to; takes a while for many documents."""
    return await anyio.to_thread.run_sync(_check, service, how)


@router.get(
    "/feedback",
    summary="Export feedback as training records",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "One conversation record a line, of answers that were good or were corrected.",
            "content": {"application/jsonl": {"schema": {"type": "string"}}},
        },
        **problems(),
    },
)
def export_feedback(service: ServiceDep) -> StreamingResponse:
    """Return JSON lines that `rag-train` reads."""
    return StreamingResponse(_feedback_lines(service), media_type="application/jsonl")


def _feedback_lines(service: Service) -> Iterator[str]:
    with service.database.read() as session:
        for record in training_records(session):
            yield record_to_json(record) + "\n"


def _check(service: Service, how: NewCheck) -> CheckReport:
    places = (service.database, service.originals, service.generations_dir)
    findings = consistency.check(*places, thorough=how.thorough)
    done = repair.repair(*places, findings) if how.repair else repair.Repair((), ())
    return CheckReport(
        findings=[FindingOut.model_validate(finding) for finding in findings],
        jobs=list(done.jobs),
        left=[FindingOut.model_validate(finding) for finding in done.left],
    )


def _trial(new: NewTrial) -> Trial:
    questions = (TrialQuestion(each.question, tuple(each.documents)) for each in new.questions)
    return Trial(tuple(questions), new.least_recall)


def _reindex_out(session: Session, job: Job) -> ReindexOut:
    progress = job_out(job_progress(session, job.id))
    return ReindexOut(id=job.id, job=progress, generation=rebuilds.generation_of(job))


def generation_out(session: Session, row: Generation) -> GenerationOut:
    """Return a generation as it is sent."""
    chunking = Chunking.from_key(row.chunking)
    return GenerationOut(
        id=row.id,
        collection=session.get_one(Collection, row.collection_id).name,
        state=row.state,
        embedder=row.embedder,
        chunking=ChunkingOut(
            tokenizer=chunking.tokenizer, max_tokens=chunking.max_tokens, overlap=chunking.overlap
        ),
        index_type=row.index_type,
        vector_count=row.vector_count,
        change_number=row.change_number,
        error=row.error,
        created_at=row.created_at,
        activated_at=row.activated_at,
    )
