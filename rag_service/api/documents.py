"""`/v1/documents`: upload, read, change, replace, delete."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, TypeVar

import anyio
from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import PlainTextResponse

from corpus.collections import DEFAULT_COLLECTION, find_collection
from corpus.errors import (
    CollectionNotFound,
    Conflict,
    DocumentNotFound,
    DuplicateDocument,
    EmptyDocument,
    InvalidCursor,
    QueueFull,
)
from corpus.ids import chunk_public_id
from corpus.models import Chunk
from indexer.deletion import remove_document
from indexer.intake import Bytes, take_in
from indexer.parsing import refuse_unread
from indexer.progress import job_progress
from indexer.uploads import EXACT_TEXT, OnDuplicate, Upload
from rag_service import documents
from rag_service.api import errors
from rag_service.api.bodies import (
    check_fields,
    files_of,
    head_of,
    is_form,
    parts_of,
    read_form,
    read_json,
    said_type,
)
from rag_service.api.cursors import DEFAULT_LIMIT, Cursor, Limit, cut_page, id_after, position_after
from rag_service.api.dependencies import NO_NUL, ServiceDep, guard_documents
from rag_service.api.errors import KINDS
from rag_service.api.jobs import job_out
from rag_service.api.openapi import problems, upload_body
from rag_service.api.schemas.documents import (
    ChunkOut,
    ChunkPage,
    DocumentAccepted,
    DocumentChanges,
    DocumentOut,
    DocumentPage,
    DocumentStatus,
    NewDocument,
    NewVersion,
    UploadForm,
    VersionForm,
)
from rag_service.api.uploads import Content, collection_for_upload
from rag_service.service import Service

JsonModel = TypeVar("JsonModel", NewDocument, NewVersion)
FormModel = TypeVar("FormModel", UploadForm, VersionForm)

router = APIRouter(prefix="/v1/documents", tags=["documents"], dependencies=[guard_documents()])
DocumentId = Annotated[str, Path(max_length=200, pattern=NO_NUL, description="A document's id.")]
_NOT_FOUND = KINDS[DocumentNotFound]
_UPLOAD_PROBLEMS = (
    errors.MALFORMED,
    KINDS[DuplicateDocument],
    errors.TOO_LARGE,
    errors.UNSUPPORTED_TYPE,
    errors.INVALID,
    KINDS[EmptyDocument],
    KINDS[QueueFull],
    errors.DISK_FULL,
    errors.NOT_READY,
)


@router.post(
    "",
    status_code=202,
    summary="Upload a document",
    responses={
        200: {"model": DocumentAccepted, "description": "Known already: `duplicate_of` says which."},
        **problems(KINDS[CollectionNotFound], KINDS[Conflict], *_UPLOAD_PROBLEMS),
    },
    openapi_extra=upload_body(NewDocument, UploadForm),
)
async def create_document(request: Request, response: Response, service: ServiceDep) -> DocumentAccepted:
    """Take in a file (a form with the field `file`) or a text (JSON), and read it in the background.

    The document can be found when its `status` is `ready`. What is seen at once to be of a type that is not
    read, such as a picture, is refused; what shows it later only makes the document `failed`.
    """
    async with _content(request, service, NewDocument, UploadForm) as (fields, content):

        def work() -> DocumentAccepted:
            collection_id = collection_for_upload(service, fields.collection or DEFAULT_COLLECTION)
            upload = content.upload(
                collection_id,
                title=fields.title,
                metadata=fields.metadata or {},
                external_id=fields.external_id,
            )
            return _accept(service, content.data, upload, on_duplicate=fields.on_duplicate)

        accepted = await anyio.to_thread.run_sync(work)
    if accepted.duplicate_of is not None:
        response.status_code = 200
    return accepted


@router.get(
    "",
    summary="List documents",
    responses=problems(KINDS[CollectionNotFound], KINDS[InvalidCursor], errors.INVALID),
)
def list_documents(
    service: ServiceDep,
    collection: Annotated[
        str | None, Query(max_length=200, pattern=NO_NUL, description="Only of this one.")
    ] = None,
    status: Annotated[DocumentStatus | None, Query(description="Only those in this status.")] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> DocumentPage:
    """Return the documents, oldest first."""
    with service.database.read() as session:
        rows = documents.list_documents(
            session,
            collection_id=None if collection is None else find_collection(session, collection).id,
            status=status,
            limit=limit + 1,
            after=id_after(cursor),
        )
    page, next_cursor = cut_page(rows, limit, lambda row: row.id)
    return DocumentPage(data=[DocumentOut.model_validate(row) for row in page], next_cursor=next_cursor)


@router.get("/{document_id}", summary="Get one document", responses=problems(_NOT_FOUND, errors.INVALID))
def get_document(document_id: DocumentId, service: ServiceDep) -> DocumentOut:
    """Return one document."""
    with service.database.read() as session:
        return DocumentOut.model_validate(documents.find_document(session, document_id))


@router.get(
    "/{document_id}/content",
    summary="Get a document's text",
    response_class=PlainTextResponse,
    responses={
        200: {"description": "The text that chunks and citations are spans of."},
        **problems(_NOT_FOUND, KINDS[Conflict], errors.INVALID),
    },
)
def get_content(document_id: DocumentId, service: ServiceDep) -> str:
    """Return the text of the current version; offsets anywhere count its characters (code points)."""
    with service.database.read() as session:
        return documents.read_text(session, document_id)


@router.get(
    "/{document_id}/chunks",
    summary="List a document's chunks",
    responses=problems(_NOT_FOUND, KINDS[InvalidCursor], errors.INVALID),
)
def list_chunks(
    document_id: DocumentId, service: ServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> ChunkPage:
    """Return the pieces that searches find, in the document's order."""
    with service.database.read() as session:
        rows = documents.list_chunks(session, document_id, limit=limit + 1, after=position_after(cursor))
    page, next_cursor = cut_page(rows, limit, lambda row: row.position)
    return ChunkPage(data=[_chunk_out(row) for row in page], next_cursor=next_cursor)


@router.patch(
    "/{document_id}",
    summary="Change title, metadata or external id",
    responses=problems(
        errors.MALFORMED, _NOT_FOUND, KINDS[DuplicateDocument], errors.TOO_LARGE, errors.INVALID
    ),
)
def change_document(document_id: DocumentId, changes: DocumentChanges, service: ServiceDep) -> DocumentOut:
    """Change what is not content; filters see it at once.

    A title is part of what searches look at: they know a new one when a job has read the document again.
    """
    with service.database.write() as session:
        if "external_id" in changes.model_fields_set:
            documents.change_external_id(session, document_id, changes.external_id)
        documents.change_document(session, document_id, title=changes.title, metadata=changes.metadata)
        return DocumentOut.model_validate(documents.find_document(session, document_id))


@router.put(
    "/{document_id}",
    status_code=202,
    summary="Replace a document's content",
    responses={
        200: {"model": DocumentAccepted, "description": "It has this content already."},
        **problems(_NOT_FOUND, *_UPLOAD_PROBLEMS),
    },
    openapi_extra=upload_body(NewVersion, VersionForm),
)
async def replace_document(
    document_id: DocumentId, request: Request, response: Response, service: ServiceDep
) -> DocumentAccepted:
    """Take in a new version; readers see the old one until the new one is complete."""
    async with _content(request, service, NewVersion, VersionForm) as (fields, content):

        def work() -> DocumentAccepted:
            with service.database.read() as session:
                collection_id = documents.find_document(session, document_id).collection_id
            upload = content.upload(collection_id, title=fields.title, metadata=fields.metadata)
            return _accept(service, content.data, upload, on_duplicate="replace", document_id=document_id)

        accepted = await anyio.to_thread.run_sync(work)
    if accepted.job is None:
        response.status_code = 200
    return accepted


@router.delete(
    "/{document_id}",
    status_code=204,
    summary="Delete a document",
    responses=problems(_NOT_FOUND, errors.INVALID),
)
def delete_document(document_id: DocumentId, service: ServiceDep) -> Response:
    """Delete a document; no search finds it any more when this returns."""
    remove_document(service.database, service.originals, document_id)
    return Response(status_code=204)


@asynccontextmanager
async def _content(
    request: Request, service: Service, json_model: type[JsonModel], form_model: type[FormModel]
) -> AsyncIterator[tuple[JsonModel | FormModel, Content]]:
    """Read the fields and the content from whichever form the body has."""
    if not is_form(request):
        fields = await read_json(request, json_model)
        yield fields, Content(fields.text.encode(), None, EXACT_TEXT)
        return
    async with read_form(request, max_files=1) as form:
        file = files_of(form, "file")[0]
        data = parts_of(file, service.limits.upload_bytes)
        await anyio.to_thread.run_sync(refuse_unread, head_of(file))  # now, and not by the document's status
        yield check_fields(form, form_model, files="file"), Content(data, file.filename, said_type(file))


def _accept(
    service: Service,
    data: Bytes,
    upload: Upload,
    *,
    on_duplicate: OnDuplicate,
    document_id: str | None = None,
) -> DocumentAccepted:
    accepted = take_in(
        service.database,
        service.originals,
        data,
        upload,
        on_duplicate=on_duplicate,
        queue_size=service.limits.queue_size,
        document_id=document_id,
    )
    with service.database.read() as session:
        return DocumentAccepted(
            document=DocumentOut.model_validate(documents.find_document(session, accepted.document.id)),
            job=accepted.job and job_out(job_progress(session, accepted.job.id)),
            duplicate_of=accepted.duplicate_of,
        )


def _chunk_out(chunk: Chunk) -> ChunkOut:
    return ChunkOut(
        id=chunk_public_id(chunk.id),
        position=chunk.position,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        page=chunk.page,
        heading_path=chunk.heading_path,
        token_count=chunk.token_count,
    )
