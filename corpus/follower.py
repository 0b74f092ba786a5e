"""Brings this process's indexes up to the database's change sequence.

The database is the truth; each process that searches keeps its own vector and lexical index of the
collections that it was asked for, and catches up before each search. One snapshot of the database is read
for that, so that indexes never reflect half a transaction: chunks after the last number that was seen,
embeddings after it, tombstones after it. Collections that have none of these are not looked at further.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import ColumnElement, and_, exists, or_, select
from sqlalchemy.orm import Session

from corpus.chunks import embedded_text
from corpus.collections import active_generation
from corpus.database import Database
from corpus.errors import CorpusError, IndexDamaged
from corpus.lexical_index import LexicalIndex
from corpus.models import (
    ActiveGeneration,
    ChangeSequence,
    Chunk,
    Document,
    Embedding,
    Generation,
    Tombstone,
    last_change_number,
)
from corpus.vector_index import VectorIndex
from corpus.vector_index.encoding import decode_vectors
from corpus.vector_index.faiss_index import FaissVectorIndex
from corpus.vector_index.generation_files import Base, load_base

ROWS_AT_ONCE = 2000
VECTORS_AT_ONCE = 8192  # 12 MB at 384 dimensions; a page may become a segment, and a search asks each
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class CollectionIndexes:
    """One collection's indexes; they reflect all changes up to `change_number`, perhaps later ones."""

    collection_id: str
    generation_id: str
    embedder: str
    embedder_source: str | None  # where the embedder is loaded from; None: by the settings
    chunking: str
    vectors: VectorIndex
    lexical: LexicalIndex
    change_number: int


@dataclass(frozen=True, slots=True)
class _Heads:
    """What tells whether anything changed: the last number, and which generation serves whom."""

    change_number: int
    generations: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Reached:
    """The database's version and last change number when everything followed was up to date."""

    version: int
    change_number: int


class Follower:
    """The indexes of this process; all methods may be called from any thread.

    A collection's indexes are built when it is first asked for (or by `load_all`) and followed from then
    on. They are dropped with the collection, and built anew when another generation serves it, or when the
    database has gone back to an older state: a backup, or a replica that had not everything. A base that
    is damaged or gone is replaced by what the database has; that takes longer and is logged.
    """

    def __init__(self, database: Database, generations_dir: Path) -> None:
        self._database = database
        self._generations_dir = generations_dir
        self._followed: dict[str, CollectionIndexes] = {}
        self._heads: _Heads | None = None
        self._reached: _Reached | None = None
        self._times_gone_back = 0
        self._following = threading.Lock()
        self._loading = threading.Lock()

    def refresh(self) -> int:
        """Catch up with every change that was committed before this call; return the number reached.

        When nothing changed it costs some microseconds on SQLite, one SELECT on PostgreSQL. Of several
        callers each waits for the one before.
        """
        version = self._database.version()
        reached = self._reached
        if reached is not None and reached.version == version:
            return reached.change_number
        with self._following:
            version = (
                self._database.version()
            )  # before the snapshot: what is committed in between counts as new
            with self._database.read() as session:
                number = self._catch_up(session)
            self._reached = None if version is None else _Reached(version, number)
            return number

    @contextmanager
    def standing_still(self) -> Iterator[Session]:
        """Catch up and stay there: within the block the indexes and this snapshot agree exactly.

        Other threads wait; only `followed` may be called in the block.
        """
        with self._following, self._database.read() as session:
            self._catch_up(session)
            yield session

    def followed(self, collection_id: str) -> CollectionIndexes | None:
        """Return a collection's indexes if they are there already."""
        return self._followed.get(collection_id)

    def indexes(self, collection_id: str) -> CollectionIndexes:
        """Return a collection's indexes, at least as new as the last `refresh`.

        Raises:
            CollectionNotFound: there is no such collection.
            NotReady: it has no active generation.
        """
        return self._followed.get(collection_id) or self._load(collection_id)

    def load_all(self) -> int:
        """Build the indexes of every collection, so that no search has to wait; return how many.

        One that can not be built is logged; its searches will say why, those of the others work.
        """
        with self._database.read() as session:
            served = session.scalars(select(ActiveGeneration.collection_id)).all()
        return sum(self._can_load(collection_id) for collection_id in served)

    def _can_load(self, collection_id: str) -> bool:
        try:
            self.indexes(collection_id)
        except CorpusError as error:
            logger.warning("collection %s is not loaded: %s", collection_id, error)
            return False
        return True

    def _load(self, collection_id: str) -> CollectionIndexes:
        """Build the indexes from one snapshot; other collections are searched and followed meanwhile."""
        with self._loading:
            while True:
                found = self._followed.get(collection_id)  # another thread may have been faster
                if found is not None:
                    return found
                times_gone_back = self._times_gone_back
                with self._database.read() as session:
                    generation = active_generation(session, collection_id)
                    loaded = self._build(session, generation, last_change_number(session))
                with self._following:
                    if times_gone_back == self._times_gone_back:  # else: perhaps what is lost since
                        self._followed[collection_id] = loaded
                        self._reached = None  # its snapshot may be older than what the others have reached
                        return loaded

    def _catch_up(self, session: Session) -> int:
        heads = _read_heads(session, self._followed)
        newest = self._newest_seen()
        if heads.change_number < newest:
            logger.warning(
                "the database is older than it was, at change %d after %d; all indexes are built anew",
                heads.change_number,
                newest,
            )
            self._followed.clear()
            self._times_gone_back += 1
            heads = _Heads(heads.change_number, {})
        if heads != self._heads:
            self._follow(session, heads)
            self._heads = heads
        return heads.change_number

    def _newest_seen(self) -> int:
        """Return the last change number of any snapshot; that of a load may be ahead of all refreshes."""
        of_loads = max((each.change_number for each in self._followed.values()), default=0)
        return of_loads if self._heads is None else max(of_loads, self._heads.change_number)

    def _follow(self, session: Session, heads: _Heads) -> None:
        changed = _changed_collections(session, self._followed.values())
        for collection_id in list(self._followed):
            try:
                self._follow_one(session, heads, collection_id, is_changed=collection_id in changed)
            except CorpusError as error:  # its own searches load it anew and say why; the others go on
                logger.warning("collection %s can not be followed: %s", collection_id, error)
                del self._followed[collection_id]

    def _follow_one(self, session: Session, heads: _Heads, collection_id: str, *, is_changed: bool) -> None:
        followed, serving = self._followed[collection_id], heads.generations.get(collection_id)
        if serving is None:
            del self._followed[collection_id]
        elif serving != followed.generation_id:
            generation = active_generation(session, collection_id)
            self._followed[collection_id] = self._build(
                session, generation, heads.change_number, former=followed
            )
        elif is_changed:
            _catch_up(session, followed, heads.change_number)
        else:
            followed.change_number = heads.change_number

    def _build(
        self,
        session: Session,
        generation: Generation,
        change_number: int,
        former: CollectionIndexes | None = None,
    ) -> CollectionIndexes:
        started = time.perf_counter()
        base = self._open_base(generation)
        vectors = FaissVectorIndex(generation.dimension, base)
        scope = _Scope(generation.collection_id, generation.embedder, generation.chunking)
        _follow_vectors(session, vectors, scope, base.manifest.change_number if base else 0)
        lexical = _build_lexical(session, scope, former)
        logger.info(
            "collection %s: %d vectors and %d texts of generation %s loaded in %.2f s",
            generation.collection_id,
            len(vectors),
            len(lexical),
            generation.id,
            time.perf_counter() - started,
        )
        return CollectionIndexes(
            collection_id=generation.collection_id,
            generation_id=generation.id,
            embedder=generation.embedder,
            embedder_source=generation.embedder_source,
            chunking=generation.chunking,
            vectors=vectors,
            lexical=lexical,
            change_number=change_number,
        )

    def _open_base(self, generation: Generation) -> Base | None:
        """Return the generation's base; None: it has none, or the database has to stand in for it."""
        if generation.change_number == 0:
            return None
        try:
            base = load_base(self._generations_dir / generation.id)
            _require_fit(base, generation)
        except IndexDamaged as error:
            logger.warning("%s Its vectors are now read from the database instead.", error)
            return None
        return base


@dataclass(frozen=True, slots=True)
class _Scope:
    """Which rows a collection's indexes are made of."""

    collection_id: str
    embedder: str
    chunking: str

    def chunks(self) -> ColumnElement[bool]:
        """Return the condition on `Chunk`."""
        return and_(Chunk.collection_id == self.collection_id, Chunk.chunking == self.chunking)


def _read_heads(session: Session, collection_ids: Iterable[str]) -> _Heads:
    rows = session.execute(
        select(ChangeSequence.number, ActiveGeneration.collection_id, ActiveGeneration.generation_id)
        .select_from(ChangeSequence)
        .outerjoin(ActiveGeneration, ActiveGeneration.collection_id.in_(list(collection_ids)))
    ).all()
    generations = {collection: generation for _, collection, generation in rows if collection is not None}
    return _Heads(rows[0][0], generations)


def _changed_collections(session: Session, followed: Collection[CollectionIndexes]) -> set[str]:
    """Return the ids of the collections for which `_catch_up` would find rows, perhaps of some more.

    A process may follow hundreds, of which a commit concerns one. All are asked with the number of the one
    that is furthest behind, and each with what never changes of its generation: three looks into an index,
    in one query for all. A collection that is served by another generation than followed is built anew,
    whatever this says of it.
    """
    since = min((each.change_number for each in followed), default=0)
    chunks = exists().where(
        Chunk.collection_id == Generation.collection_id,
        Chunk.chunking == Generation.chunking,
        Chunk.change_number > since,
    )
    embeddings = exists().where(
        Embedding.collection_id == Generation.collection_id,
        Embedding.embedder == Generation.embedder,
        Embedding.change_number > since,
    )
    tombstones = exists().where(
        Tombstone.collection_id == Generation.collection_id, Tombstone.change_number > since
    )
    serving = Generation.id.in_([each.generation_id for each in followed])
    statement = select(Generation.collection_id).where(serving, or_(chunks, embeddings, tombstones))
    return set(session.scalars(statement))


def _require_fit(base: Base, generation: Generation) -> None:
    made_of = (base.manifest.embedder, base.manifest.chunking, base.manifest.dimension)
    if made_of != (generation.embedder, generation.chunking, generation.dimension):
        raise IndexDamaged(f"Generation {generation.id} has the files of another one.")


def _catch_up(session: Session, followed: CollectionIndexes, change_number: int) -> None:
    scope = _Scope(followed.collection_id, followed.embedder, followed.chunking)
    since = followed.change_number
    _follow_vectors(session, followed.vectors, scope, since)
    _add_texts(session, followed.lexical, scope, since)
    followed.lexical.remove(_buried(session, scope, since))
    followed.lexical.commit()
    followed.change_number = change_number


def _follow_vectors(session: Session, vectors: VectorIndex, scope: _Scope, since: int) -> None:
    """Add first, then remove: a document that is replaced is never missing in between."""
    for rows in _pages_of_embeddings(session, scope, since):
        ids = np.array([chunk_id for chunk_id, _ in rows], dtype=np.int64)
        vectors.add(ids, decode_vectors([vector for _, vector in rows], vectors.dimension))
    buried = _buried(session, scope, since)
    if buried:
        vectors.remove(np.array(buried, dtype=np.int64))


def _build_lexical(session: Session, scope: _Scope, former: CollectionIndexes | None) -> LexicalIndex:
    """Return the texts' index; that of the former generation goes on if the chunks are the same.

    Tombstones that the former one has not seen may be gone, folded into the new base; so what is there is
    compared.
    """
    if former is None or former.chunking != scope.chunking:
        lexical = LexicalIndex()
        _add_texts(session, lexical, scope, since=0)
    else:
        lexical = former.lexical
        _add_texts(session, lexical, scope, former.change_number)
        living = np.array(session.scalars(select(Chunk.id).where(scope.chunks())).all(), dtype=np.int64)
        lexical.remove(np.setdiff1d(lexical.ids(), living))
    lexical.commit()
    return lexical


def _add_texts(session: Session, lexical: LexicalIndex, scope: _Scope, since: int) -> None:
    statement = (
        select(Chunk.id, Document.title, Chunk.heading_path, Chunk.text)
        .join(Document, Document.id == Chunk.document_id)
        .where(scope.chunks(), Chunk.change_number > since)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    for rows in session.execute(statement).partitions():
        texts = [embedded_text(title, headings, text) for _, title, headings, text in rows]
        lexical.add([row[0] for row in rows], texts)


def _pages_of_embeddings(
    session: Session, scope: _Scope, since: int
) -> Iterator[Sequence[tuple[int, bytes]]]:
    statement = (
        select(Embedding.chunk_id, Embedding.vector)
        .join(Chunk, Chunk.id == Embedding.chunk_id)
        .where(
            Embedding.collection_id == scope.collection_id,
            Embedding.embedder == scope.embedder,
            Embedding.change_number > since,
            Chunk.chunking == scope.chunking,
        )
        .execution_options(yield_per=VECTORS_AT_ONCE)
    )
    for rows in session.execute(statement).partitions():
        yield [(row[0], row[1]) for row in rows]


def _buried(session: Session, scope: _Scope, since: int) -> Sequence[int]:
    return session.scalars(
        select(Tombstone.chunk_id).where(
            Tombstone.collection_id == scope.collection_id, Tombstone.change_number > since
        )
    ).all()
