"""`/v1/models` and `/v1/embeddings`, as OpenAI's clients call them."""

import base64
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path
from numpy.typing import NDArray

from corpus.collections import CollectionSummary, find_collection, list_collections, summarize_collection
from corpus.embedding import Embedder
from corpus.errors import CollectionNotFound, InvalidRequest
from rag_service.api import errors
from rag_service.api.dependencies import NO_NUL, ServiceDep, require
from rag_service.api.errors import NO_MODEL, ProblemRaised
from rag_service.api.openapi import openai_errors
from rag_service.api.schemas.openai import (
    EmbeddingOut,
    EmbeddingsIn,
    EmbeddingsOut,
    EmbeddingsUsage,
    ModelList,
    ModelOut,
)
from rag_service.service import Service

RAG = "rag"
RAG_COLLECTION = "rag:"
CLOSED_BOOK = "closed-book"
_EPOCH = 1_750_000_000  # of models that were not made at a moment, such as `rag` itself
_MANY_COLLECTIONS = 1000
_BATCH = 64

router = APIRouter(tags=["OpenAI-compatible"], dependencies=[require("query")])


@router.get("/v1/models", summary="List what can be named as model", responses=openai_errors())
def list_models(service: ServiceDep) -> ModelList:
    """Return `rag`, `closed-book`, one `rag:<collection>` for each collection, and the embedder."""
    with service.database.read() as session:
        collections = list_collections(session, limit=_MANY_COLLECTIONS)
    names = [RAG, CLOSED_BOOK]
    if service.embedder.state == "ready":
        names.append(service.embedder.get().name)
    own = [ModelOut(id=name, created=_EPOCH) for name in names]
    return ModelList(data=[*own, *(_collection_model(collection) for collection in collections)])


@router.get("/v1/models/{model}", summary="Get one model", responses=openai_errors(NO_MODEL, errors.INVALID))
def get_model(
    model: Annotated[str, Path(max_length=300, pattern=NO_NUL, description="Its name.")], service: ServiceDep
) -> ModelOut:
    """Return one model."""
    if model.startswith(RAG_COLLECTION):
        name = model.removeprefix(RAG_COLLECTION)
        try:
            with service.database.read() as session:
                return _collection_model(summarize_collection(session, find_collection(session, name).id))
        except CollectionNotFound as error:
            raise no_such_model(model) from error
    known = {RAG, CLOSED_BOOK}
    if service.embedder.state == "ready":
        known.add(service.embedder.get().name)
    if model not in known:
        raise no_such_model(model)
    return ModelOut(id=model, created=_EPOCH)


@router.post(
    "/v1/embeddings",
    summary="Embed texts",
    responses=openai_errors(errors.MALFORMED, NO_MODEL, errors.TOO_LARGE, errors.INVALID, errors.NOT_READY),
)
async def create_embeddings(request: EmbeddingsIn, service: ServiceDep) -> EmbeddingsOut:
    """Return one unit vector a text; what is longer than the embedder's limit is cut off."""
    embedder = service.embedder.get()
    if request.model not in (embedder.name, embedder.id):
        raise no_such_model(request.model)
    if request.dimensions not in (None, embedder.dimension):
        raise InvalidRequest(f"dimensions: {embedder.name} has {embedder.dimension} and no others.")
    texts = request.texts
    vectors, tokens = await _embed(service, embedder, texts)
    encode = _as_base64 if request.encoding_format == "base64" else _as_floats
    return EmbeddingsOut(
        data=[EmbeddingOut(index=index, embedding=encode(vector)) for index, vector in enumerate(vectors)],
        model=embedder.name,
        usage=EmbeddingsUsage(prompt_tokens=tokens, total_tokens=tokens),
    )


def no_such_model(model: str) -> ProblemRaised:
    """Return the error for a model that is none."""
    return ProblemRaised(NO_MODEL, f"There is no model {model!r}; GET /v1/models lists them.")


async def _embed(
    service: Service, embedder: Embedder, texts: Sequence[str]
) -> tuple[list[NDArray[np.float32]], int]:
    """Embed in batches, so that searches get their turn in between."""
    vectors: list[NDArray[np.float32]] = []
    tokens = 0
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        found, count = await service.threads.run_search(partial(_embed_batch, embedder, batch))
        vectors.extend(found)
        tokens += count
    return vectors, tokens


def _embed_batch(embedder: Embedder, texts: Sequence[str]) -> tuple[NDArray[np.float32], int]:
    return embedder.embed_passages(texts), _count_tokens(embedder, texts)


def _count_tokens(embedder: Embedder, texts: Sequence[str]) -> int:
    return sum(min(len(embedder.token_spans(text)) + 2, embedder.max_tokens) for text in texts)


def _as_floats(vector: NDArray[np.float32]) -> list[float]:
    return [float(number) for number in vector]


def _as_base64(vector: NDArray[np.float32]) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _collection_model(collection: CollectionSummary) -> ModelOut:
    return ModelOut(id=RAG_COLLECTION + collection.name, created=int(collection.created_at.timestamp()))
