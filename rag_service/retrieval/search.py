"""The story of one search: query to ranked passages."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from corpus.collections import DEFAULT_COLLECTION, find_collection
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import EmbedderMismatch, InvalidRequest
from corpus.follower import CollectionIndexes, Follower
from corpus.models import Chunk, Document
from rag_service.retrieval.candidates import Ids, Place, Query, rank_candidates
from rag_service.retrieval.duplicates import without_near_duplicates
from rag_service.retrieval.filter_sql import document_condition
from rag_service.retrieval.filters import Filter
from rag_service.retrieval.neighbours import expand_to_neighbours
from rag_service.retrieval.passages import Passage, Scores, load_passages
from rag_service.retrieval.remembering import RememberingEmbedder

Mode = Literal["hybrid", "dense", "lexical"]
Expand = Literal["none", "neighbours"]


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """What to look for, where, and how much to return.

    `collections` are names or ids. `candidates` is how many chunks each index offers to the ranking;
    at least `top_k` are taken. `per_document` limits the passages of one document.
    """

    query: str
    collections: tuple[str, ...] = (DEFAULT_COLLECTION,)
    filters: Filter | None = None
    top_k: int = 8
    candidates: int = 50
    mode: Mode = "hybrid"
    expand: Expand = "none"
    per_document: int | None = None


@dataclass(frozen=True, slots=True)
class SearchTimings:
    """Milliseconds spent on the query's vector and on everything else."""

    embed: float
    search: float


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Passages, best first. `generation` is None when several collections were searched."""

    passages: tuple[Passage, ...]
    generation: str | None
    timings_ms: SearchTimings


class Retriever:
    """Searches collections; may be called by several threads at once."""

    def __init__(self, database: Database, follower: Follower, embedder: Embedder) -> None:
        self._database = database
        self._follower = follower
        self._embedder = RememberingEmbedder(embedder)

    def search(self, request: SearchRequest) -> SearchResult:
        """Return the passages that fit the query best; equal scores are ordered by chunk id.

        Raises:
            InvalidRequest: the query is blank.
            CollectionNotFound: a collection does not exist.
            EmbedderMismatch: a collection's vectors are of another embedder than the loaded one.
        """
        started = time.perf_counter()
        if not request.query.strip():
            raise InvalidRequest("query: must not be blank.")
        self._follower.refresh()
        places = self._find_places(request)
        query, embed_seconds = self._prepare(request)
        ranked = rank_candidates(query, places, max(request.candidates, request.top_k))
        passages = self._read(request, ranked)
        search_seconds = time.perf_counter() - started - embed_seconds
        generation = places[0].indexes.generation_id if len(places) == 1 else None
        return SearchResult(passages, generation, SearchTimings(embed_seconds * 1000, search_seconds * 1000))

    def _find_places(self, request: SearchRequest) -> list[Place]:
        """Find the collections' indexes and, with a filter, the chunks that it lets pass."""
        with self._database.read() as session:
            names = request.collections or (DEFAULT_COLLECTION,)
            identities = dict.fromkeys(find_collection(session, name).id for name in names)
            indexes = [self._follower.indexes(identity) for identity in identities]
            if request.mode != "lexical":
                self._require_own_vectors(session, indexes)
            condition = self._condition(request)
            return [Place(each, _allowed(session, each.collection_id, condition)) for each in indexes]

    def _require_own_vectors(self, session: Session, indexes: Iterable[CollectionIndexes]) -> None:
        for each in indexes:
            if each.embedder != self._embedder.id:
                name = find_collection(session, each.collection_id).name
                raise EmbedderMismatch(
                    f"Collection {name!r} was embedded by {each.embedder}, this service has "
                    f"{self._embedder.id}; run `rag reindex --collection {name}`, or set RAG_EMBEDDER to "
                    f"the former, or search with `lexical`."
                )

    def _condition(self, request: SearchRequest) -> ColumnElement[bool] | None:
        if request.filters is None:
            return None
        return document_condition(request.filters, postgresql=self._database.is_postgresql)

    def _prepare(self, request: SearchRequest) -> tuple[Query, float]:
        """Return the query as the mode needs it, and the seconds that embedding it took."""
        started = time.perf_counter()
        vector = None if request.mode == "lexical" else self._embedder.embed_queries([request.query])
        words = None if request.mode == "dense" else request.query
        return Query(vector, words), time.perf_counter() - started

    def _read(self, request: SearchRequest, ranked: Sequence[tuple[int, Scores]]) -> tuple[Passage, ...]:
        with self._database.read() as session:
            found = load_passages(
                session, ranked, condition=self._condition(request), at_once=2 * request.top_k
            )
            distinct = _at_most(without_near_duplicates(found), request.per_document)
            passages = list(islice(distinct, request.top_k))
            if request.expand == "neighbours":
                passages = expand_to_neighbours(session, passages)
        return tuple(passages)


def _allowed(session: Session, collection_id: str, condition: ColumnElement[bool] | None) -> Ids | None:
    if condition is None:
        return None
    passing = (
        select(Chunk.id)
        .join(Document, Document.id == Chunk.document_id)
        .where(Document.collection_id == collection_id, condition)
    )
    return np.fromiter(session.scalars(passing), dtype=np.int64)


def _at_most(passages: Iterable[Passage], per_document: int | None) -> Iterator[Passage]:
    seen: Counter[str] = Counter()
    for passage in passages:
        seen[passage.document_id] += 1
        if per_document is None or seen[passage.document_id] <= per_document:
            yield passage
