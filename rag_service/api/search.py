"""`/v1/search`."""

from fastapi import APIRouter

from corpus.collections import DEFAULT_COLLECTION
from corpus.errors import CollectionNotFound, EmbedderMismatch, InvalidFilter
from corpus.ids import chunk_public_id
from rag_service.api import errors
from rag_service.api.dependencies import ServiceDep, require
from rag_service.api.errors import KINDS
from rag_service.api.openapi import problems
from rag_service.api.schemas.search import PassageOut, ScoresOut, SearchIn, SearchOut, SearchTimings
from rag_service.retrieval.filters import parse_filter
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.search import SearchRequest, SearchResult

router = APIRouter(prefix="/v1/search", tags=["search"], dependencies=[require("query")])


@router.post(
    "",
    summary="Find passages",
    responses=problems(
        errors.MALFORMED,
        KINDS[CollectionNotFound],
        KINDS[EmbedderMismatch],
        errors.TOO_LARGE,
        errors.INVALID,
        KINDS[InvalidFilter],
        errors.NOT_READY,
    ),
)
async def search(query: SearchIn, service: ServiceDep) -> SearchOut:
    """Return the passages that fit best, the best first."""
    request = SearchRequest(
        query=query.query,
        collections=tuple(query.collections or (DEFAULT_COLLECTION,)),
        filters=None if query.filters is None else parse_filter(query.filters),
        top_k=query.top_k,
        mode=query.search,
        expand=query.expand,
    )
    retriever = service.retriever.get()
    result = await service.threads.run_search(lambda: retriever.search(request))
    if service.telemetry is not None:
        service.telemetry.record_search(result, request.mode)
    return search_out(result)


def search_out(result: SearchResult) -> SearchOut:
    """Return a search result as it is sent."""
    return SearchOut(
        data=[_passage_out(passage) for passage in result.passages],
        generation=result.generation,
        timings_ms=SearchTimings(embed=result.timings_ms.embed, search=result.timings_ms.search),
    )


def _passage_out(passage: Passage) -> PassageOut:
    return PassageOut(
        chunk_id=chunk_public_id(passage.chunk_id),
        document_id=passage.document_id,
        external_id=passage.external_id,
        document_title=passage.document_title,
        text=passage.text,
        page=passage.page,
        start=passage.start,
        end=passage.end,
        metadata=dict(passage.metadata),
        scores=ScoresOut.model_validate(passage.scores),
    )
