"""The transactions that make a document searchable: all of it at once, in place of what was there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.orm import Session

from corpus.chunks import ChunkSpan, Heading, PageSpan, ParsedDocument
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
    note_unused,
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
    found = _lock(session, [each.cut.work for each in documents])
    saved = [each for each in sorted(documents, key=_document_id) if each.cut.work in found]
    if not saved:
        return []
    number = next_change_number(session)
    serving = _serving(session, {each.cut.work.collection_id for each in saved})
    for each in saved:
        if serving.get(each.cut.work.collection_id) not in each.vectors:
            raise Outdated
    bury_chunks(session, document_ids=[_document_id(each) for each in saved], change_number=number)
    insert_chunks(session, [chunks for each in saved for chunks in _chunk_sets(each)], number)
    replaced = _drop_current(session, [found[each.cut.work] for each in saved])
    for each in saved:
        _publish(found[each.cut.work], each.cut, chunking=serving[each.cut.work.collection_id][0])
    _finish_items(session, [each.cut.work for each in saved], state="done", error=None)
    return replaced


def save_texts(session: Session, documents: Sequence[CutDocument]) -> None:
    """Make new documents searchable by their words, before their vectors are there.

    They stay `processing` until `save_documents` puts the whole in the place of this. Documents that
    readers see already are left alone: they change as a whole.

    Raises:
        Outdated: see `save_documents`.
    """
    keep_collections(session, {each.work.collection_id for each in documents})
    found = _lock(session, [each.work for each in documents])
    new = [
        each
        for each in sorted(documents, key=lambda each: each.work.document_id)
        if each.work in found and found[each.work].document.status in {"pending", "processing"}
    ]
    if not new:
        return
    number = next_change_number(session)
    bury_chunks(session, document_ids=[each.work.document_id for each in new], change_number=number)
    sets = [chunks for each in new for chunks in _chunk_sets(IndexedDocument(each, {}))]
    insert_chunks(session, sets, number)
    for each in new:
        found[each.work].document.title = each.title
        _keep_text(found[each.work].version, each)


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


@dataclass(frozen=True, slots=True)
class _Rows:
    """A document's row, that of the version which was read, and those of its other versions; all locked."""

    document: Document
    version: DocumentVersion
    others: Sequence[DocumentVersion]


def _lock(session: Session, works: Sequence[Work]) -> dict[Work, _Rows]:
    """Lock documents and their versions; those of which one is gone are left out, their items skipped.

    Raises:
        Outdated: the title of one was changed.
    """
    rows = session.execute(
        select(Document, DocumentVersion)
        .join(DocumentVersion, DocumentVersion.document_id == Document.id)
        .where(Document.id.in_({work.document_id for work in works}))
        .order_by(Document.id, DocumentVersion.version)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    versions: dict[str, dict[int, DocumentVersion]] = {}
    documents: dict[str, Document] = {}
    for document, version in rows:
        documents[document.id] = document
        versions.setdefault(document.id, {})[version.version] = version
    found = {}
    for work in works:
        of_document = versions.get(work.document_id, {})
        read = of_document.get(work.version)
        if read is None or read.sha256 != work.sha256:
            continue
        if read.title != work.title:
            raise Outdated
        others = [each for each in of_document.values() if each is not read]
        found[work] = _Rows(documents[work.document_id], read, others)
    _finish_items(session, [work for work in works if work not in found], state="skipped", error=_GONE)
    return found


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


def _publish(rows: _Rows, cut: CutDocument, *, chunking: str) -> None:
    """Make a version the current one."""
    document, version = rows.document, rows.version
    _keep_text(version, cut)
    version.state = "current"
    document.status, document.error = "ready", None
    document.version, document.sha256 = cut.work.version, cut.work.sha256
    document.title, document.media_type = cut.title, cut.parsed.media_type
    document.metadata_ = version.metadata_
    document.chunk_count = len(cut.chunks[chunking])


def _drop_current(session: Session, read: Iterable[_Rows]) -> list[str]:
    """Delete the versions that are current until now; return the hashes of bytes that may be unused."""
    hashes = []
    for rows in read:
        for other in rows.others:
            if other.state == "current":
                session.delete(other)
                hashes += [other.sha256] if other.sha256 != rows.version.sha256 else []
    session.flush()
    note_unused(session, hashes)
    return hashes


def kept_document(version: DocumentVersion, media_type: str) -> ParsedDocument:
    """Return what was read of a version whose text is kept."""
    return ParsedDocument(
        text=version.text or "",
        media_type=media_type,
        pages=tuple(PageSpan(**page) for page in version.pages),
        headings=tuple(Heading(**heading) for heading in version.headings),
    )


def _keep_text(version: DocumentVersion, cut: CutDocument) -> None:
    """Store what was read in the version that it was read from."""
    version.text = cut.parsed.text
    version.pages = [asdict(page) for page in cut.parsed.pages]
    version.headings = [asdict(heading) for heading in cut.parsed.headings]


def _finish_items(session: Session, works: Sequence[Work], *, state: str, error: str | None) -> None:
    """Note in their jobs what became of some documents; an item that is gone went with its collection."""
    if not works:
        return
    session.connection().execute(
        update(JobItem)
        .where(JobItem.job_id == bindparam("job"), JobItem.position == bindparam("place"))
        .values(state=state, error=error, error_kind=None, updated_at=now()),
        [{"job": work.job_id, "place": work.position} for work in works],
    )
