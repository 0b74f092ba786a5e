"""The transactions that make a document searchable: all of it at once, in place of what was there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from corpus.chunks import ChunkSpan, ParsedDocument
from corpus.models import (
    Chunk,
    Collection,
    Document,
    DocumentVersion,
    Embedding,
    JobItem,
    next_change_number,
    now,
)
from corpus.vector_index.encoding import encode_vector
from indexer.claims import Work
from indexer.deletion import bury_chunks
from indexer.targets import Plan

_GONE = "The document was deleted or replaced while it was read."
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CutDocument:
    """A document's text, and its chunks by the key of their chunking."""

    work: Work
    title: str
    parsed: ParsedDocument
    chunks: Mapping[str, Sequence[ChunkSpan]]
    plan: Plan


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A document and the vectors of its chunks, one row a chunk, by chunking's key and embedder's id."""

    cut: CutDocument
    vectors: Mapping[tuple[str, str], Vectors]


def save_documents(session: Session, documents: Sequence[IndexedDocument]) -> list[str]:
    """Make some documents searchable in place of their former versions.

    Documents that were deleted or replaced meanwhile are left out and their items skipped. Returns the
    hashes of bytes that may be unused now, for `indexer.deletion.drop_originals` after the commit.
    """
    _keep_collections(session, {each.cut.work.collection_id for each in documents})
    saved = [each for each in sorted(documents, key=_document_id) if _still_wanted(session, each.cut.work)]
    if not saved:
        return []
    number = next_change_number(session)
    bury_chunks(session, document_ids=[_document_id(each) for each in saved], change_number=number)
    _insert_chunks(session, saved, number)
    return [sha256 for each in saved for sha256 in _publish(session, each.cut)]


def _document_id(document: IndexedDocument) -> str:
    return document.cut.work.document_id


def _keep_collections(session: Session, collection_ids: set[str]) -> None:
    """Hold off the deletion of the collections; taken before the change number, as a deletion does."""
    statement = select(Collection.id).where(Collection.id.in_(collection_ids)).order_by(Collection.id)
    session.execute(statement.with_for_update(read=True, key_share=True))


def _still_wanted(session: Session, work: Work) -> bool:
    """Lock the document and its version; False: one of them is gone."""
    document = session.scalar(select(Document.id).where(Document.id == work.document_id).with_for_update())
    sha256 = session.scalar(
        select(DocumentVersion.sha256)
        .where(DocumentVersion.document_id == work.document_id, DocumentVersion.version == work.version)
        .with_for_update()
    )
    if document is not None and sha256 == work.sha256:
        return True
    _finish_item(session, work, state="skipped", error=_GONE)
    return False


def _insert_chunks(session: Session, documents: Sequence[IndexedDocument], number: int) -> None:
    rows = [
        _chunk_row(each.cut.work, chunking, span, number)
        for each in documents
        for chunking, spans in each.cut.chunks.items()
        for span in spans
    ]
    ids = session.scalars(insert(Chunk).returning(Chunk.id, sort_by_parameter_order=True), rows).all()
    position = 0
    embeddings: list[dict[str, object]] = []
    for each in documents:
        for chunking, spans in each.cut.chunks.items():
            own = ids[position : position + len(spans)]
            position += len(spans)
            embeddings += _embedding_rows(each, chunking, own, number)
    if embeddings:
        session.execute(insert(Embedding), embeddings)


def _chunk_row(work: Work, chunking: str, span: ChunkSpan, number: int) -> dict[str, object]:
    return {
        "document_id": work.document_id,
        "collection_id": work.collection_id,
        "chunking": chunking,
        "position": span.position,
        "start": span.start,
        "end": span.end,
        "page": span.page,
        "heading_path": list(span.heading_path),
        "text": span.text,
        "token_count": span.token_count,
        "change_number": number,
    }


def _embedding_rows(
    document: IndexedDocument, chunking: str, chunk_ids: Sequence[int], number: int
) -> list[dict[str, object]]:
    return [
        {
            "chunk_id": chunk_id,
            "embedder": embedder,
            "collection_id": document.cut.work.collection_id,
            "vector": encode_vector(vector),
            "change_number": number,
        }
        for (key, embedder), vectors in document.vectors.items()
        if key == chunking
        for chunk_id, vector in zip(chunk_ids, vectors, strict=True)
    ]


def _publish(session: Session, cut: CutDocument) -> list[str]:
    """Make a version the current one; return the hashes of the bytes that it replaces."""
    work = cut.work
    document = session.get_one(Document, work.document_id)
    version = session.get_one(DocumentVersion, (work.document_id, work.version))
    replaced = session.scalars(
        delete(DocumentVersion)
        .where(
            DocumentVersion.document_id == work.document_id,
            DocumentVersion.state == "current",
            DocumentVersion.version != work.version,
        )
        .returning(DocumentVersion.sha256)
        .execution_options(synchronize_session=False)
    ).all()
    version.state = "current"
    version.text = cut.parsed.text
    version.pages = [asdict(page) for page in cut.parsed.pages]
    version.headings = [asdict(heading) for heading in cut.parsed.headings]
    document.status, document.error = "ready", None
    document.version, document.sha256 = work.version, work.sha256
    document.title, document.media_type = cut.title, cut.parsed.media_type
    document.metadata_ = version.metadata_
    document.chunk_count = len(cut.chunks[cut.plan.active.chunking.key])
    _finish_item(session, work, state="done", error=None)
    return [sha256 for sha256 in replaced if sha256 != work.sha256]


def _finish_item(session: Session, work: Work, *, state: str, error: str | None) -> None:
    session.execute(
        update(JobItem)
        .where(JobItem.job_id == work.job_id, JobItem.position == work.position)
        .values(state=state, error=error, error_kind=None, updated_at=now())
    )
