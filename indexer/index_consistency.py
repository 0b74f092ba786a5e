"""Compares the index files, and the indexes that a process makes of them, with the database."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from corpus.database import Database
from corpus.errors import CollectionNotFound, IndexDamaged, NotReady
from corpus.follower import Follower
from corpus.models import ActiveGeneration, Chunk, Embedding, Generation, Tombstone, last_change_number
from corpus.vector_index.generation_files import load_base
from indexer.building import base_vectors, unused_folders
from indexer.findings import Finding

_LOOKS = 5
Ids = NDArray[np.int64]


def check_generations(session: Session, generations_dir: Path, *, thorough: bool) -> Iterator[Finding]:
    """Compare the files of each generation with its manifest and with the database, both ways."""
    built = select(Generation).where(
        Generation.state.in_(("ready", "active", "retired")), Generation.change_number > 0
    )
    for generation in session.scalars(built).all():
        try:
            base = load_base(generations_dir / generation.id, check_hashes=thorough)
        except IndexDamaged as error:
            yield Finding("damaged_generation", generation.id, str(error))
            continue
        strays = len(np.setdiff1d(base.ids, _ids_with_a_past(session, generation)))
        lacking = len(np.setdiff1d(_ids_up_to(session, generation), base.ids))
        if strays or lacking:
            yield Finding(
                "damaged_generation",
                generation.id,
                f"Its files lack {lacking} vectors, and have {strays} that nobody deleted but nobody has.",
            )


def _ids_up_to(session: Session, generation: Generation) -> Ids:
    """Return the chunks that the base must have."""
    statement = base_vectors(generation).where(Embedding.change_number <= generation.change_number)
    return _ids(session, statement.with_only_columns(Embedding.chunk_id))


def _ids_with_a_past(session: Session, generation: Generation) -> Ids:
    """Return the chunks that the base may have: those that live, and those deleted after it was built."""
    living = _ids(session, base_vectors(generation).with_only_columns(Embedding.chunk_id))
    deleted = select(Tombstone.chunk_id).where(
        Tombstone.collection_id == generation.collection_id,
        Tombstone.change_number > generation.change_number,
    )
    return np.union1d(living, _ids(session, deleted))


def check_folders(database: Database, generations_dir: Path, grace_s: float) -> Iterator[Finding]:
    """Find folders without a row."""
    for name in unused_folders(database, generations_dir, grace_s=grace_s):
        yield Finding("unused_folder", name, "No generation has this folder.")


def check_indexes(database: Database, generations_dir: Path) -> Iterator[Finding]:
    """Load the indexes as a service would and compare their ids with the database's."""
    follower = Follower(database, generations_dir)
    with database.read() as session:
        collections = sorted(session.scalars(select(ActiveGeneration.collection_id)))
    for collection_id in collections:
        message = _index_difference(database, follower, collection_id)
        if message:
            yield Finding("index_differs", collection_id, message)


def _index_difference(database: Database, follower: Follower, collection_id: str) -> str | None:
    for _ in range(_LOOKS):
        try:
            indexes = follower.indexes(collection_id)
            number = follower.refresh()
        except (CollectionNotFound, NotReady):
            return None  # it was deleted a moment ago
        with database.read() as session:
            if last_change_number(session) != number:
                continue  # somebody writes; look again
            of_collection = (Chunk.collection_id == collection_id) & (Chunk.chunking == indexes.chunking)
            chunks = _ids(session, select(Chunk.id).where(of_collection))
            vectors = _ids(
                session,
                select(Embedding.chunk_id)
                .join(Chunk, Chunk.id == Embedding.chunk_id)
                .where(of_collection, Embedding.embedder == indexes.embedder),
            )
        lexical = np.sort(np.asarray(indexes.lexical.ids(), dtype=np.int64))
        if not np.array_equal(indexes.vectors.ids(), vectors):
            return f"The vector index has {len(indexes.vectors)} chunks, the database {len(vectors)}."
        if not np.array_equal(lexical, chunks):
            return f"The lexical index has {len(lexical)} chunks, the database {len(chunks)}."
        return None
    return None  # it changes all the time; the next check will find a quiet moment


def _ids(session: Session, statement: Select[int]) -> Ids:
    return np.sort(np.fromiter(session.scalars(statement), dtype=np.int64))
