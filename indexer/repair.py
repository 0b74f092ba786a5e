"""Mends what a consistency check found, from the database.

What needs reading or embedding is queued as jobs; a worker does the rest. Lost bytes can only be made
again where they were a given text.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from corpus.collections import active_generation
from corpus.database import Database
from corpus.errors import Conflict
from corpus.models import (
    Document,
    DocumentVersion,
    Embedding,
    Generation,
    Job,
    next_change_number,
)
from corpus.originals import Originals
from indexer.building import remove_generation_files
from indexer.deletion import bury_chunks, drop_originals, lock_document
from indexer.findings import Finding
from indexer.jobs import JobKind, add_item, create_job
from indexer.rebuilds import request_compaction

_AT_ONCE = 500
_DAMAGED = "Its files were damaged."


@dataclass(frozen=True, slots=True)
class Repair:
    """What was done: `jobs` are to be waited for; `left` are findings that nothing here can mend."""

    jobs: tuple[str, ...]
    left: tuple[Finding, ...]


def repair(
    database: Database, originals: Originals, generations_dir: Path, findings: Sequence[Finding]
) -> Repair:
    """Mend what was found. A further check after the jobs should find nothing but what is left."""
    of_kind = _Subjects(findings)
    drop_originals(database, originals, of_kind("unused_original"))
    for name in of_kind("unused_folder"):
        remove_generation_files(generations_dir, name)
    lost = _restore_originals(database, originals, of_kind("missing_original", "changed_original"))
    _bury_strays(database, of_kind("stray_chunks"))
    jobs = [
        *_read_again(database, of_kind("stranded_document", "wrong_chunks")),
        *_rebuild(database, _collections_to_rebuild(database, of_kind)),
    ]
    left = [each for each in findings if each.subject in lost]
    return Repair(tuple(jobs), tuple(left))


@dataclass(frozen=True, slots=True)
class _Subjects:
    findings: Sequence[Finding]

    def __call__(self, *kinds: str) -> list[str]:
        """Return what findings of these kinds are about."""
        return sorted({each.subject for each in self.findings if each.kind in kinds})


def queue_reading(
    session: Session,
    document_ids: Collection[str],
    states: Collection[str] = ("pending", "current"),
    *,
    of_kept_text: bool = False,
) -> list[Job]:
    """Queue jobs that read documents again, with their present title: a few hundred documents a job.

    Documents that were deleted are left out. The present version stays readable until the new reading
    takes its place.

    Args:
        session: a write transaction.
        document_ids: which documents; of each the newest version is read.
        states: what the version may be.
        of_kept_text: see `indexer.jobs.create_job`.
    """
    versions = session.execute(
        select(DocumentVersion.document_id, func.max(DocumentVersion.version))
        .where(DocumentVersion.document_id.in_(document_ids), DocumentVersion.state.in_(states))
        .group_by(DocumentVersion.document_id)
    ).all()
    jobs = []
    for start in range(0, len(versions), _AT_ONCE):
        some = versions[start : start + _AT_ONCE]
        kind: JobKind = "upload" if len(versions) == 1 else "ingestion"
        job = create_job(session, kind, collection_id=None, of_kept_text=of_kept_text)
        for document_id, version in some:
            document = session.get_one(Document, document_id)
            add_item(session, job, name=document.title, document_id=document_id, version=version)
        jobs.append(job)
    return jobs


def _read_again(database: Database, document_ids: Collection[str]) -> list[str]:
    with database.write() as session:
        _fail_without_version(session, document_ids)
        return [job.id for job in queue_reading(session, document_ids)]


def _fail_without_version(session: Session, document_ids: Collection[str]) -> None:
    """Mark documents as failed that wait although there is nothing to read."""
    for document in session.scalars(select(Document).where(Document.id.in_(document_ids))):
        has_version = session.scalar(
            select(DocumentVersion.version).where(
                DocumentVersion.document_id == document.id, DocumentVersion.state != "failed"
            )
        )
        if has_version is None:
            document.status, document.error = "failed", "Its bytes are not known any more; upload it again."
    session.flush()


def _bury_strays(database: Database, document_ids: Collection[str]) -> None:
    for document_id in document_ids:
        with database.write() as session:
            document = lock_document(session, document_id)
            if document.status != "ready":
                bury_chunks(session, document_ids=[document_id], change_number=next_change_number(session))


def _restore_originals(database: Database, originals: Originals, hashes: Collection[str]) -> set[str]:
    """Store again what was a given text; return the hashes of what is lost."""
    lost = set()
    for sha256 in hashes:
        with database.read() as session:
            text = session.scalar(select(DocumentVersion.text).where(DocumentVersion.sha256 == sha256))
        data = (text or "").encode()
        if hashlib.sha256(data).hexdigest() == sha256:
            originals.store(data)
        else:
            lost.add(sha256)
    return lost


def _collections_to_rebuild(database: Database, of_kind: _Subjects) -> list[str]:
    """Give up damaged generations; return the collections that need a new one to serve."""
    damaged = of_kind("damaged_generation")
    collections = set(of_kind("missing_vector", "wrong_vector", "index_differs"))
    with database.write() as session:
        for generation in session.scalars(select(Generation).where(Generation.id.in_(damaged))).all():
            generation.error = _DAMAGED  # so that its successor does not keep it for rollback
            if generation.state == "active":
                collections.add(generation.collection_id)
            else:
                generation.state = "failed"
        for collection_id in of_kind("wrong_vector"):
            _delete_misshapen_vectors(session, collection_id)
    return sorted(collections)


def _delete_misshapen_vectors(session: Session, collection_id: str) -> None:
    generation = active_generation(session, collection_id)
    session.execute(
        delete(Embedding).where(
            Embedding.collection_id == collection_id,
            Embedding.embedder == generation.embedder,
            func.length(Embedding.vector) != 2 * generation.dimension,
        )
    )


def _rebuild(database: Database, collections: Collection[str]) -> list[str]:
    jobs = []
    for collection_id in collections:
        try:
            with database.write() as session:
                jobs.append(request_compaction(session, collection_id).id)
        except Conflict:
            continue  # one is under way
    return jobs
