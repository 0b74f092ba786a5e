"""The story of one search: query to ranked passages."""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, select
from sqlalchemy.orm import Session

from corpus.collections import DEFAULT_COLLECTION, CollectionNames, collection_ids, find_collection
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import EmbedderMismatch, InvalidRequest
from corpus.follower import CollectionIndexes, Follower
from corpus.models import Chunk, Document, last_change_number
from indexer.targets import FindEmbedder, one_embedder
from rag_service.retrieval.candidates import Ids, Place, Query, rank_candidates
from rag_service.retrieval.duplicates import without_near_duplicates
from rag_service.retrieval.filter_sql import document_condition
from rag_service.retrieval.filters import Filter
from rag_service.retrieval.neighbours import expand_to_neighbours
from rag_service.retrieval.passages import (
    ChunksGone,
    Passage,
    ReadRows,
    Scores,
    bare_rows_by_id,
    load_passages,
    rows_by_id,
)
from rag_service.retrieval.remembering import RememberingEmbedder
from rag_service.retrieval.reranking import READ_AGAIN, Rerank

Mode = Literal["hybrid", "dense", "lexical"]
Expand = Literal["none", "neighbours"]
Ranking = Iterable[tuple[int, Scores]]  # of chunks' ids, best first; gone through once


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
    """Searches collections; may be called by several threads at once.

    Args:
        database: where passages are read.
        follower: the indexes.
        embedder: makes the vectors of collections that were embedded by it.
        find_embedder: gives the embedders of other collections; None: there are none.
        rerank: scores the head of a ranking once more; None: it stays as it is.
    """

    def __init__(
        self,
        database: Database,
        follower: Follower,
        embedder: Embedder,
        find_embedder: FindEmbedder | None = None,
        *,
        rerank: Rerank | None = None,
    ) -> None:
        self._database = database
        self._follower = follower
        self._collections = CollectionNames(database)
        self._find_embedder = find_embedder or one_embedder(embedder)
        self._embedders = {embedder.id: RememberingEmbedder(embedder)}
        self._rerank = rerank

    def search(self, request: SearchRequest) -> SearchResult:
        """Return the passages that fit the query best; equal scores are ordered by chunk id.

        What the last commit before the call left is found, and nothing is missing for being replaced
        while the search was under way.

        Raises:
            InvalidRequest: the query is blank.
            CollectionNotFound: a collection does not exist.
            EmbedderMismatch, ModelError: the embedder of a collection's vectors is not here.
        """
        if not request.query.strip():
            raise InvalidRequest("query: must not be blank.")
        clock = _Clock()
        judged: dict[int, float] = {}
        try:
            return self._search_beside_others(request, clock, judged)
        except ChunksGone:
            found = self._search_standing_still(request, clock, judged)
        return found or self._search_beside_others(request, clock, judged, all_there=False)

    def _search_beside_others(
        self, request: SearchRequest, clock: "_Clock", judged: dict[int, float], *, all_there: bool = True
    ) -> SearchResult:
        """Search while indexes and database may change: what was found may be gone when it is read.

        Raises:
            ChunksGone: with `all_there`, if something was.
        """
        number = self._follower.refresh()
        indexes = [self._follower.indexes(each) for each in self._collections.ids(_names(request))]
        places = self._find_places_now(request, indexes)
        ranked = self._rank(request, places, clock)
        ranked = self._reranked(request, ranked, self._database.snapshot(), judged)
        if request.filters is None and request.expand == "none":
            with self._database.bare_snapshot() as connection:
                passages = tuple(_best(bare_rows_by_id(connection), request, ranked, all_there=all_there))
        else:
            with self._database.read() as session:
                # What a filter lets pass and what the indexes have must be of one moment.
                if all_there and request.filters is not None and last_change_number(session) != number:
                    raise ChunksGone
                passages = self._read(session, request, ranked, all_there=all_there)
        return _result(places, passages, clock)

    def _search_standing_still(
        self, request: SearchRequest, clock: "_Clock", judged: dict[int, float]
    ) -> SearchResult | None:
        """Search in one snapshot, which the indexes agree with; None: one of them is not loaded.

        Others wait meanwhile: the query's vector is known, and the reranker reads what is new alone.
        """
        with self._follower.standing_still() as session:
            ids = collection_ids(session, _names(request))
            followed = [self._follower.followed(each) for each in ids]
            indexes = [each for each in followed if each is not None]
            if len(indexes) < len(followed):
                return None
            places = self._find_places(session, request, indexes)
            ranked = self._rank(request, places, clock)
            ranked = self._reranked(request, ranked, nullcontext(session.connection()), judged)
            return _result(places, self._read(session, request, ranked), clock)

    def _find_places_now(self, request: SearchRequest, indexes: Iterable[CollectionIndexes]) -> list[Place]:
        if request.filters is None:
            return [Place(each, None) for each in indexes]
        with self._database.read() as session:
            return self._find_places(session, request, indexes)

    def _find_places(
        self, session: Session, request: SearchRequest, indexes: Iterable[CollectionIndexes]
    ) -> list[Place]:
        """Add to the indexes, with a filter, the chunks that it lets pass."""
        condition = self._condition(request)
        return [Place(each, _allowed(session, each.collection_id, condition)) for each in indexes]

    def _condition(self, request: SearchRequest) -> ColumnElement[bool] | None:
        if request.filters is None:
            return None
        return document_condition(request.filters, postgresql=self._database.is_postgresql)

    def _rank(self, request: SearchRequest, places: Sequence[Place], clock: "_Clock") -> Ranking:
        with clock.embedding():
            vectors = None if request.mode == "lexical" else self._embed(request.query, places)
        words = None if request.mode == "dense" else request.query
        count = max(request.candidates, request.top_k)
        return rank_candidates(Query(vectors, words), places, count, first=_read_at_once(request))

    def _reranked(
        self,
        request: SearchRequest,
        ranked: Ranking,
        snapshot: AbstractContextManager[Connection],
        judged: dict[int, float],
    ) -> Ranking:
        """Put the head of the ranking into the order of the reranker, if there is one.

        What is gone meanwhile is not read again; the next step sees that it is gone. `judged` keeps the
        scores by chunk's id, for a search that has to begin anew.
        """
        if self._rerank is None:
            return ranked
        ranked = list(ranked)
        with snapshot as connection:
            read = rows_by_id(connection, self._condition(request))
            head = list(load_passages(read, ranked[:READ_AGAIN]))
        unread = [passage for passage in head if passage.chunk_id not in judged]
        if unread:
            scores = map(float, self._rerank(request.query, unread))
            judged.update(zip([passage.chunk_id for passage in unread], scores, strict=True))
        again = {
            passage.chunk_id: replace(passage.scores, reranked=judged[passage.chunk_id]) for passage in head
        }
        first = sorted(again.items(), key=lambda item: (-judged[item[0]], item[0]))
        return first + [each for each in ranked if each[0] not in again]

    def _embed(self, query: str, places: Iterable[Place]) -> dict[str, NDArray[np.float32]]:
        """Return the query's vector by each embedder that made vectors of these places."""
        found = {}
        for indexes in (place.indexes for place in places):
            if indexes.embedder not in self._embedders:
                self._embedders[indexes.embedder] = RememberingEmbedder(self._find(indexes))
            found[indexes.embedder] = self._embedders[indexes.embedder].embed_queries([query])
        return found

    def _find(self, indexes: CollectionIndexes) -> Embedder:
        try:
            return self._find_embedder(indexes.embedder, indexes.embedder_source)
        except EmbedderMismatch as error:
            with self._database.read() as session:
                name = find_collection(session, indexes.collection_id).name
            raise EmbedderMismatch(
                f"Collection {name!r} was embedded by {indexes.embedder}, which is not here; "
                f"run `rag reindex --collection {name}`, set RAG_EMBEDDER to the former, or search with "
                f"`lexical`."
            ) from error

    def _read(
        self,
        session: Session,
        request: SearchRequest,
        ranked: Ranking,
        *,
        all_there: bool = False,
    ) -> tuple[Passage, ...]:
        read = rows_by_id(session.connection(), self._condition(request))
        passages = _best(read, request, ranked, all_there=all_there)
        if request.expand == "neighbours":
            passages = expand_to_neighbours(session, passages)
        return tuple(passages)


class _Clock:
    """How long one search takes, and how much of that the query's vector."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._embedding = 0.0

    @contextmanager
    def embedding(self) -> Iterator[None]:
        """Count the time of the block as embedding."""
        began = time.perf_counter()
        yield
        self._embedding += time.perf_counter() - began

    def read(self) -> SearchTimings:
        """Return the time until now."""
        spent = time.perf_counter() - self._started
        return SearchTimings(embed=self._embedding * 1000, search=(spent - self._embedding) * 1000)


def _best(read: ReadRows, request: SearchRequest, ranked: Ranking, *, all_there: bool) -> list[Passage]:
    """Read the best that are no near duplicates of better ones; seldom more are read than are wanted."""
    found = load_passages(read, ranked, at_once=_read_at_once(request), all_there=all_there)
    distinct = _at_most(without_near_duplicates(found), request.per_document)
    return list(islice(distinct, request.top_k))


def _read_at_once(request: SearchRequest) -> int:
    return request.top_k if request.per_document is None else 2 * request.top_k


def _names(request: SearchRequest) -> tuple[str, ...]:
    return request.collections or (DEFAULT_COLLECTION,)


def _result(places: Sequence[Place], passages: tuple[Passage, ...], clock: _Clock) -> SearchResult:
    generation = places[0].indexes.generation_id if len(places) == 1 else None
    return SearchResult(passages, generation, clock.read())


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
