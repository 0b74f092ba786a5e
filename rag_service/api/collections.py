"""`/v1/collections`."""

import shutil
from typing import Annotated

from fastapi import APIRouter, Path, Response

from corpus import collections
from corpus.chunks import Chunking
from corpus.collections import CollectionSummary
from corpus.errors import CollectionExists, CollectionNotFound, EmbedderMismatch, InvalidCursor
from indexer.deletion import drop_originals
from indexer.rebuilds import note_source
from rag_service.api import errors
from rag_service.api.cursors import DEFAULT_LIMIT, Cursor, Limit, cut_page, id_after
from rag_service.api.dependencies import NO_NUL, ServiceDep, guard_documents
from rag_service.api.embedders import loaded_embedder
from rag_service.api.errors import KINDS
from rag_service.api.openapi import problems
from rag_service.api.schemas.collections import ChunkingOut, CollectionOut, CollectionPage, NewCollection

router = APIRouter(prefix="/v1/collections", tags=["collections"], dependencies=[guard_documents()])
CollectionKey = Annotated[str, Path(max_length=200, pattern=NO_NUL, description="A collection's id or name.")]


@router.post(
    "",
    status_code=201,
    summary="Make a collection",
    responses=problems(
        errors.MALFORMED,
        KINDS[CollectionExists],
        KINDS[EmbedderMismatch],
        errors.TOO_LARGE,
        errors.INVALID,
        errors.NOT_READY,
    ),
)
def create_collection(new: NewCollection, service: ServiceDep) -> CollectionOut:
    """Make an empty collection; it keeps the embedder and the chunking that it is made with."""
    embedder, source = loaded_embedder(service, new.embedder)
    with service.database.write() as session:
        made = collections.create_collection(
            session,
            name=new.name,
            embedder=embedder,
            description=new.description,
            max_tokens=new.chunking.max_tokens,
            overlap=new.chunking.overlap,
        )
        if source is not None:
            note_source(session, embedder.id, source)
        return collection_out(collections.summarize_collection(session, made.id))


@router.get("", summary="List the collections", responses=problems(KINDS[InvalidCursor], errors.INVALID))
def list_collections(
    service: ServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> CollectionPage:
    """Return the collections, oldest first."""
    with service.database.read() as session:
        rows = collections.list_collections(session, limit=limit + 1, after=id_after(cursor))
    page, next_cursor = cut_page(rows, limit, lambda row: row.id)
    return CollectionPage(data=[collection_out(row) for row in page], next_cursor=next_cursor)


@router.get(
    "/{collection_id}",
    summary="Get one collection",
    responses=problems(KINDS[CollectionNotFound], errors.INVALID),
)
def get_collection(collection_id: CollectionKey, service: ServiceDep) -> CollectionOut:
    """Return one collection."""
    with service.database.read() as session:
        found = collections.find_collection(session, collection_id)
        return collection_out(collections.summarize_collection(session, found.id))


@router.delete(
    "/{collection_id}",
    status_code=204,
    summary="Delete a collection and its documents",
    responses=problems(KINDS[CollectionNotFound], errors.INVALID),
)
def delete_collection(collection_id: CollectionKey, service: ServiceDep) -> Response:
    """Delete a collection with all its documents; none is found any more when this returns."""
    with service.database.write() as session:
        found = collections.find_collection(session, collection_id)
        leftovers = collections.delete_collection(session, found.id)
    drop_originals(service.database, service.originals, leftovers.originals)
    for generation_id in leftovers.generations:
        shutil.rmtree(service.generations_dir / generation_id, ignore_errors=True)
    return Response(status_code=204)


def collection_out(summary: CollectionSummary) -> CollectionOut:
    """Return a collection as it is sent."""
    chunking = Chunking.from_key(summary.chunking)
    return CollectionOut(
        id=summary.id,
        name=summary.name,
        description=summary.description,
        embedder=summary.embedder,
        chunking=ChunkingOut(
            tokenizer=chunking.tokenizer, max_tokens=chunking.max_tokens, overlap=chunking.overlap
        ),
        document_count=summary.document_count,
        created_at=summary.created_at,
    )
