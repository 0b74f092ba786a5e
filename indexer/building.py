"""The files of a generation: written from the embeddings in the database, verified, swept."""

import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray
from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from corpus.database import Database
from corpus.errors import IndexDamaged
from corpus.models import Chunk, Embedding, Generation, last_change_number
from corpus.vector_index.encoding import decode_vectors
from corpus.vector_index.faiss_index import FaissVectorIndex
from corpus.vector_index.generation_files import Base, load_base, write_base
from indexer.generations import find_generation

_SCRATCH = "scratch-"
_STALE_AFTER_S = 3600.0
_ROWS_AT_ONCE = 4096
_SAMPLES = 64
_SAME = 0.999  # cosine of a vector with itself, after rounding to float16


def build_base(
    database: Database, generations_dir: Path, generation_id: str, *, pause: Callable[[], None]
) -> tuple[int, int]:
    """Write a generation's base from one snapshot of the database.

    Memory stays flat: vectors go through a file. What a crash leaves is written again from the beginning.

    Args:
        database: the database.
        generations_dir: folder of all generations.
        generation_id: whose base; it has this name below `generations_dir`.
        pause: called now and then; may raise to stop.

    Returns:
        The change number that the base reflects, and how many vectors it has.
    """
    generations_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=generations_dir, prefix=_SCRATCH) as scratch:
        with database.read() as session:
            generation = find_generation(session, generation_id)
            number = last_change_number(session)
            ids, vectors = _gather(session, generation, Path(scratch) / "vectors.npy", pause)
        write_base(
            generations_dir / generation_id,
            ids,
            vectors,
            embedder=generation.embedder,
            chunking=generation.chunking,
            change_number=number,
            index_type=generation.index_type,
        )
    return number, len(ids)


def verify_base(database: Database, generations_dir: Path, generation_id: str) -> None:
    """Check a built generation against its manifest, the database and itself.

    Every byte's hash and all counts are compared; a sample of vectors is compared with the database, and
    each must find itself.

    Raises:
        IndexDamaged: something differs; the message says what.
    """
    base = load_base(generations_dir / generation_id, check_hashes=True)
    with database.read() as session:
        generation = find_generation(session, generation_id)
        if (generation.vector_count, generation.change_number) != (
            base.manifest.count,
            base.manifest.change_number,
        ):
            raise IndexDamaged(f"Generation {generation_id} has other counts than its row; build it again.")
        sample = np.random.default_rng(0).choice(base.ids, min(_SAMPLES, len(base.ids)), replace=False)
        stored = _stored_vectors(session, generation, sample.tolist())
    _check_sample(generation_id, base, stored)


def _check_sample(generation_id: str, base: Base, stored: dict[int, NDArray[np.float32]]) -> None:
    if not stored:
        return  # nothing was built, or all of the sample was deleted since
    queries = np.stack(list(stored.values()))
    scores, found = FaissVectorIndex(base.manifest.dimension, base).search(queries, 1)
    for chunk_id, best, score in zip(stored, found[:, 0], scores[:, 0], strict=True):
        if best != chunk_id and score < _SAME:  # equal texts may find each other
            raise IndexDamaged(f"Generation {generation_id}: chunk {chunk_id} does not find itself.")


def _stored_vectors(
    session: Session, generation: Generation, chunk_ids: list[int]
) -> dict[int, NDArray[np.float32]]:
    rows = session.execute(
        select(Embedding.chunk_id, Embedding.vector).where(
            Embedding.embedder == generation.embedder, Embedding.chunk_id.in_(chunk_ids)
        )
    ).all()
    vectors = decode_vectors([vector for _, vector in rows], generation.dimension)
    return {chunk_id: vector for (chunk_id, _), vector in zip(rows, vectors, strict=True)}


def remove_generation_files(generations_dir: Path, generation_id: str) -> None:
    """Remove a generation's folder; processes that have its vectors mapped go on reading them."""
    shutil.rmtree(generations_dir / generation_id, ignore_errors=True)


def sweep_generation_folders(database: Database, generations_dir: Path) -> None:
    """Remove folders that crashes and deletions left without a row."""
    for name in unused_folders(database, generations_dir):
        remove_generation_files(generations_dir, name)


def unused_folders(
    database: Database, generations_dir: Path, *, grace_s: float = _STALE_AFTER_S
) -> list[str]:
    """Return the names of folders without a row; scratch folders only when they are older than `grace_s`."""
    names = {entry.name for entry in generations_dir.glob("*") if entry.is_dir()}
    with database.read() as session:
        known = set(session.scalars(select(Generation.id)))
    horizon = time.time() - grace_s
    return sorted(
        name
        for name in names - known
        # A scratch folder may belong to a living process. Others have their row before their folder.
        if not name.startswith(_SCRATCH) or (generations_dir / name).stat().st_mtime < horizon
    )


def base_vectors(generation: Generation) -> Select[int, bytes]:
    """Return the query for the chunk ids and vectors that belong into a generation, by ascending id."""
    return (
        select(Embedding.chunk_id, Embedding.vector)
        .join(Chunk, Chunk.id == Embedding.chunk_id)
        .where(
            Embedding.collection_id == generation.collection_id,
            Embedding.embedder == generation.embedder,
            Chunk.chunking == generation.chunking,
        )
        .order_by(Embedding.chunk_id)
    )


def _gather(
    session: Session, generation: Generation, file: Path, pause: Callable[[], None]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Copy a generation's vectors into a file, mapped into memory; return their ids and them."""
    statement = base_vectors(generation)
    count = session.execute(select(func.count()).select_from(statement.subquery())).scalar_one()
    ids = np.empty(count, dtype=np.int64)
    shape = (count, generation.dimension)
    vectors: NDArray[np.float32] = (
        open_memmap(file, mode="w+", dtype=np.float32, shape=shape)
        if count
        else np.empty(shape, dtype=np.float32)
    )
    position = 0
    rows = session.execute(statement.execution_options(yield_per=_ROWS_AT_ONCE))
    for part in rows.partitions():
        end = position + len(part)
        ids[position:end] = [chunk_id for chunk_id, _ in part]
        vectors[position:end] = decode_vectors([vector for _, vector in part], generation.dimension)
        position = end
        pause()
    return ids, vectors
