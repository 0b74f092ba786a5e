"""The transactions that make a document searchable: all of it at once, in place of what was there."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from corpus.chunks import ChunkSpan, ParsedDocument
from corpus.collections import keep_collections
from corpus.models import (
    ActiveGeneration,
    Chunk,
    Document,
    DocumentVersion,
    Embedding,
    Generation,
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


@dataclass(frozen=True, slots=True)
class ChunkSet:
    """A document's chunks of one chunking, and their vectors, one row a chunk, by embedder's id."""

    document_id: str
    collection_id: str
    chunking: str
    spans: Sequence[ChunkSpan]
    vectors: Mapping[str, Vectors]


class Outdated(Exception):
    """A document got another title, or another generation serves now; cut and embed it again."""


def save_documents(session: Session, documents: Sequence[IndexedDocument]) -> list[str]:
    """Make some documents searchable in place of their former versions.

    Documents that were deleted or replaced meanwhile are left out and their items skipped. Returns the
    hashes of bytes that may be unused now, for `indexer.deletion.drop_originals` after the commit.

    Raises:
        Outdated: what serves now is not among what the documents were cut and embedded for.
    """
    keep_collections(session, {each.cut.work.collection_id for each in documents})
    saved = [each for each in sorted(documents, key=_document_id) if _still_wanted(session, each.cut.work)]
    if not saved:
        return []
    number = next_change_number(session)
    serving = _serving(session, {each.cut.work.collection_id for each in saved})
    for each in saved:
        if serving.get(each.cut.work.collection_id) not in each.vectors:
            raise Outdated
    bury_chunks(session, document_ids=[_document_id(each) for each in saved], change_number=number)
    insert_chunks(session, [chunks for each in saved for chunks in _chunk_sets(each)], number)
    return [
        sha256
        for each in saved
        for sha256 in _publish(session, each.cut, chunking=serving[each.cut.work.collection_id][0])
    ]


def save_texts(session: Session, documents: Sequence[CutDocument]) -> None:
    """Make new documents searchable by their words, before their vectors are there.

    They stay `processing` until `save_documents` puts the whole in the place of this. Documents that
    readers see already are left alone: they change as a whole.

    Raises:
        Outdated: see `save_documents`.
    """
    keep_collections(session, {each.work.collection_id for each in documents})
    new = [
        each
        for each in sorted(documents, key=lambda each: each.work.document_id)
        if _still_wanted(session, each.work) and _is_new(session, each.work)
    ]
    if not new:
        return
    number = next_change_number(session)
    bury_chunks(session, document_ids=[each.work.document_id for each in new], change_number=number)
    sets = [chunks for each in new for chunks in _chunk_sets(IndexedDocument(each, {}))]
    insert_chunks(session, sets, number)
    for each in new:
        session.get_one(Document, each.work.document_id).title = each.title
        _keep_text(session, each)


def _is_new(session: Session, work: Work) -> bool:
    return session.get_one(Document, work.document_id).status in {"pending", "processing"}


def _document_id(document: IndexedDocument) -> str:
    return document.cut.work.document_id


def _serving(session: Session, collection_ids: set[str]) -> dict[str, tuple[str, str]]:
    """Return by what chunking and embedder readers find documents of each collection.

    Asked for after the change number was taken: a promotion needs one too, so none comes in between.
    """
    rows = session.execute(
        select(Generation.collection_id, Generation.chunking, Generation.embedder)
        .join(ActiveGeneration, ActiveGeneration.generation_id == Generation.id)
        .where(ActiveGeneration.collection_id.in_(collection_ids))
    )
    return {collection_id: (chunking, embedder) for collection_id, chunking, embedder in rows}


def _still_wanted(session: Session, work: Work) -> bool:
    """Lock the document and its version; False: one of them is gone.

    Raises:
        Outdated: its title was changed.
    """
    document = session.scalar(select(Document.id).where(Document.id == work.document_id).with_for_update())
    version = session.execute(
        select(DocumentVersion.sha256, DocumentVersion.title)
        .where(DocumentVersion.document_id == work.document_id, DocumentVersion.version == work.version)
        .with_for_update()
    ).one_or_none()
    if document is not None and version is not None and version.sha256 == work.sha256:
        if version.title != work.title:
            raise Outdated
        return True
    _finish_item(session, work, state="skipped", error=_GONE)
    return False


def insert_chunks(session: Session, sets: Sequence[ChunkSet], number: int) -> None:
    """Insert chunks and their vectors under one change number."""
    rows = [_chunk_row(each, span, number) for each in sets for span in each.spans]
    ids = iter(session.scalars(insert(Chunk).returning(Chunk.id, sort_by_parameter_order=True), rows).all())
    embeddings = []
    for each in sets:
        chunk_ids = list(islice(ids, len(each.spans)))
        for embedder, vectors in each.vectors.items():
            pairs = zip(chunk_ids, vectors, strict=True)
            embeddings += [embedding_row(pair, embedder, each.collection_id, number) for pair in pairs]
    if embeddings:
        session.execute(insert(Embedding), embeddings)


def embedding_row(
    pair: tuple[int, NDArray[np.float32]], embedder: str, collection_id: str, number: int
) -> dict[str, object]:
    """Return the row of one chunk's vector."""
    chunk_id, vector = pair
    return {
        "chunk_id": chunk_id,
        "embedder": embedder,
        "collection_id": collection_id,
        "vector": encode_vector(vector),
        "change_number": number,
    }


def _chunk_row(chunks: ChunkSet, span: ChunkSpan, number: int) -> dict[str, object]:
    return {
        "document_id": chunks.document_id,
        "collection_id": chunks.collection_id,
        "chunking": chunks.chunking,
        "position": span.position,
        "start": span.start,
        "end": span.end,
        "page": span.page,
        "heading_path": list(span.heading_path),
        "text": span.text,
        "token_count": span.token_count,
        "change_number": number,
    }


def _chunk_sets(document: IndexedDocument) -> list[ChunkSet]:
    work = document.cut.work
    return [
        ChunkSet(
            work.document_id,
            work.collection_id,
            chunking,
            spans,
            {embedder: vectors for (key, embedder), vectors in document.vectors.items() if key == chunking},
        )
        for chunking, spans in document.cut.chunks.items()
    ]


def _publish(session: Session, cut: CutDocument, *, chunking: str) -> list[str]:
    """Make a version the current one; return the hashes of the bytes that it replaces."""
    work = cut.work
    document = session.get_one(Document, work.document_id)
    version = _keep_text(session, cut)
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
    document.status, document.error = "ready", None
    document.version, document.sha256 = work.version, work.sha256
    document.title, document.media_type = cut.title, cut.parsed.media_type
    document.metadata_ = version.metadata_
    document.chunk_count = len(cut.chunks[chunking])
    _finish_item(session, work, state="done", error=None)
    return [sha256 for sha256 in replaced if sha256 != work.sha256]


def _keep_text(session: Session, cut: CutDocument) -> DocumentVersion:
    """Store what was read in the version that it was read from."""
    version = session.get_one(DocumentVersion, (cut.work.document_id, cut.work.version))
    version.text = cut.parsed.text
    version.pages = [asdict(page) for page in cut.parsed.pages]
    version.headings = [asdict(heading) for heading in cut.parsed.headings]
    return version


def _finish_item(session: Session, work: Work, *, state: str, error: str | None) -> None:
    session.execute(
        update(JobItem)
        .where(JobItem.job_id == work.job_id, JobItem.position == work.position)
        .values(state=state, error=error, error_kind=None, updated_at=now())
    )
