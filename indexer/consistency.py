"""Compares what should agree: database, originals, generations, and the indexes made from them.

Each difference is a `Finding`. Most can be mended from the database (`indexer.repair`). A service may be
running meanwhile: everything in the database is read in one snapshot, files are looked at twice.
"""

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import exists, func, select
from sqlalchemy.orm import Session

from corpus.database import Database
from corpus.models import (
    ActiveGeneration,
    Chunk,
    Document,
    DocumentVersion,
    Embedding,
    Generation,
    Job,
    JobItem,
)
from corpus.originals import Originals
from indexer.findings import Finding
from indexer.generations import unembedded_chunks
from indexer.index_consistency import check_folders, check_generations, check_indexes
from indexer.job_states import FINISHED, OPEN_ITEM

_TEXTS_AT_ONCE = 20


def check(
    database: Database,
    originals: Originals,
    generations_dir: Path,
    *,
    thorough: bool = False,
    grace_s: float = 60,
) -> list[Finding]:
    """Return everything that does not agree; an empty list is what should be.

    Args:
        database: the database.
        originals: the uploaded bytes.
        generations_dir: folder of the generations.
        thorough: read every text, and every byte of the files, and compare hashes and offsets.
        grace_s: files without a row are no finding while they are younger, in seconds: an upload stores
            its bytes before its row.
    """
    with database.read() as session:
        findings = [
            *_documents_without_work(session),
            *_documents_with_wrong_chunks(session),
            *(_chunks_with_wrong_text(session) if thorough else ()),
            *_missing_and_wrong_vectors(session),
            *check_generations(session, generations_dir, thorough=thorough),
        ]
    return [
        *findings,
        *check_originals(database, originals, thorough=thorough, grace_s=grace_s),
        *check_folders(database, generations_dir, grace_s),
        *check_indexes(database, generations_dir),
    ]


def _documents_without_work(session: Session) -> Iterator[Finding]:
    """Documents that wait to be read, although no job that goes on has them.

    A worker may be about to save one for a job that was cancelled a moment ago; to read it twice is no harm.
    """
    has_item = (
        exists()
        .where(
            JobItem.document_id == DocumentVersion.document_id,
            JobItem.version == DocumentVersion.version,
            JobItem.state.in_(OPEN_ITEM),
            JobItem.job_id == Job.id,
            Job.state.not_in(FINISHED),
        )
        .correlate(DocumentVersion)
    )
    waiting = select(DocumentVersion.document_id).where(DocumentVersion.state == "pending", ~has_item)
    has_version = (
        exists()
        .where(DocumentVersion.document_id == Document.id, DocumentVersion.state == "pending")
        .correlate(Document)
    )
    unread = select(Document.id).where(Document.status.in_(("pending", "processing")), ~has_version)
    for document_id in sorted({*session.scalars(waiting), *session.scalars(unread)}):
        yield Finding("stranded_document", document_id, "The document waits to be read, but no job has it.")


def _documents_with_wrong_chunks(session: Session) -> Iterator[Finding]:
    """Documents whose chunks are not as many as they say, or that should have none."""
    own = (
        select(func.count())
        .select_from(Chunk)
        .where(Chunk.document_id == Document.id, Chunk.chunking == Generation.chunking)
        .correlate(Document, Generation)
        .scalar_subquery()
    )
    counted = (
        select(Document.id, Document.chunk_count, own)
        .join(ActiveGeneration, ActiveGeneration.collection_id == Document.collection_id)
        .join(Generation, Generation.id == ActiveGeneration.generation_id)
        .where(Document.status == "ready", Document.chunk_count != own)
    )
    for document_id, said, there in session.execute(counted):
        yield Finding("wrong_chunks", document_id, f"The document has {there} chunks and says {said}.")
    unready = (
        select(Chunk.document_id)
        .join(Document, Document.id == Chunk.document_id)
        .where(Document.status.in_(("pending", "failed")))
        .distinct()
    )
    for document_id in session.scalars(unready):
        yield Finding("stray_chunks", document_id, "The document is not ready, but has chunks.")


def _chunks_with_wrong_text(session: Session) -> Iterator[Finding]:
    texts = session.execute(
        select(DocumentVersion.document_id, DocumentVersion.text)
        .where(DocumentVersion.state == "current")
        .execution_options(yield_per=_TEXTS_AT_ONCE)
    )
    for document_id, text in texts:
        spans = session.execute(
            select(Chunk.start, Chunk.end, Chunk.text).where(Chunk.document_id == document_id)
        )
        if any((text or "")[start:end] != chunk for start, end, chunk in spans):
            yield Finding("wrong_chunks", document_id, "A chunk's offsets do not point at its text.")


def _missing_and_wrong_vectors(session: Session) -> Iterator[Finding]:
    for generation in _serving(session):
        lacking = session.execute(
            select(func.count()).select_from(Chunk).where(unembedded_chunks(generation))
        ).scalar_one()
        if lacking:
            yield Finding("missing_vector", generation.collection_id, f"{lacking} chunks have no vector.")
        misshapen = session.execute(
            select(func.count())
            .select_from(Embedding)
            .where(
                Embedding.collection_id == generation.collection_id,
                Embedding.embedder == generation.embedder,
                func.length(Embedding.vector) != 2 * generation.dimension,
            )
        ).scalar_one()
        if misshapen:
            yield Finding("wrong_vector", generation.collection_id, f"{misshapen} vectors have a wrong size.")


def check_originals(
    database: Database, originals: Originals, *, thorough: bool, grace_s: float
) -> Iterator[Finding]:
    """Compare the kept bytes with the versions in the database, both ways."""
    wanted = _wanted_hashes(database)
    kept = set(originals.hashes())
    for sha256 in sorted((wanted - kept) & _wanted_hashes(database)):
        yield Finding("missing_original", sha256, "The bytes of a document are gone.")
    horizon = time.time() - grace_s
    for sha256 in sorted(kept - wanted - _wanted_hashes(database)):
        if _modified_at(originals.path(sha256)) < horizon:
            yield Finding("unused_original", sha256, "No document has these bytes.")
    for sha256 in sorted(kept & wanted) if thorough else ():
        if problem := _problem_of_bytes(originals.path(sha256), sha256):
            yield Finding("changed_original", sha256, problem)


def _serving(session: Session) -> list[Generation]:
    return list(
        session.scalars(
            select(Generation).join(ActiveGeneration, ActiveGeneration.generation_id == Generation.id)
        )
    )


def _wanted_hashes(database: Database) -> set[str]:
    with database.read() as session:
        return set(session.scalars(select(DocumentVersion.sha256)))


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")


def _problem_of_bytes(path: Path, sha256: str) -> str | None:
    """Say what is wrong with kept bytes; nothing, if they were dropped meanwhile."""
    try:
        with path.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return None
    except OSError as error:  # a failing disk; the others are looked at all the same
        return f"The bytes of a document can not be read: {error.strerror or error}."
    return None if same else "The bytes of a document have changed."
