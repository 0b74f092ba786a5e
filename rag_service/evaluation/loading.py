"""Puts a retrieval set into a collection: the indexer's chunks and vectors, without jobs and originals."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.chunks import Chunking, ChunkSpan, ParsedDocument, embedded_text
from corpus.collections import active_generation, create_collection, delete_collection
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.ids import new_id
from corpus.migrations import upgrade
from corpus.models import Collection, Document, DocumentVersion, next_change_number
from indexer.chunking import split_into_chunks
from indexer.saving import ChunkSet, insert_chunks
from rag_service.evaluation.beir import SetDocument

_DOCUMENTS_AT_ONCE = 64
_MEDIA_TYPE = "text/plain"


@contextmanager
def workspace_database(workspace: Path) -> Iterator[Database]:
    """Yield the database that keeps loaded sets in a folder, made now if need be."""
    workspace.mkdir(parents=True, exist_ok=True)
    database = Database(f"sqlite:///{workspace / 'sets.sqlite3'}")
    try:
        upgrade(database)
        yield database
    finally:
        database.close()


def collection_of_set(
    database: Database, name: str, documents: Iterable[SetDocument], embedder: Embedder
) -> str:
    """Return the id of the collection that has the set's documents, made now if need be.

    It bears its name only once all are in: what a broken-off run has left is made anew.
    """
    complete, unfinished = f"{name} {embedder.id}", f"{name} {embedder.id} unfinished"
    with database.write() as session:
        known: dict[str, str] = {
            each.name: each.id for each in session.execute(select(Collection.name, Collection.id))
        }
        if complete in known:
            return known[complete]
        if unfinished in known:
            delete_collection(session, known[unfinished])
        collection_id = create_collection(session, name=unfinished, embedder=embedder).id
    load_documents(database, collection_id, documents, embedder)
    with database.write() as session:
        session.get_one(Collection, collection_id).name = complete
    return collection_id


def load_documents(
    database: Database, collection_id: str, documents: Iterable[SetDocument], embedder: Embedder
) -> int:
    """Cut, embed and save documents, their ids as external ids; return how many chunks they have.

    The collection must be of this embedder and have none of the documents. One that is blank is left out.
    """
    with database.read() as session:
        chunking = Chunking.from_key(active_generation(session, collection_id).chunking)
    count = 0
    remaining = (each for each in documents if each.text.strip())
    while portion := list(islice(remaining, _DOCUMENTS_AT_ONCE)):
        cut = [_cut(each, chunking, embedder) for each in portion]
        sets = _embed(collection_id, portion, cut, chunking, embedder)
        with database.write() as session:
            for document, chunks in zip(portion, sets, strict=True):
                _save_document(session, document, chunks)
            session.flush()
            insert_chunks(session, sets, next_change_number(session))
        count += sum(map(len, cut))
    return count


def _cut(document: SetDocument, chunking: Chunking, embedder: Embedder) -> list[ChunkSpan]:
    return split_into_chunks(
        ParsedDocument(document.text, _MEDIA_TYPE),
        title=document.title,
        token_spans=embedder.token_spans,
        max_tokens=chunking.max_tokens,
        overlap=chunking.overlap,
    )


def _embed(
    collection_id: str,
    documents: Sequence[SetDocument],
    cut: Sequence[Sequence[ChunkSpan]],
    chunking: Chunking,
    embedder: Embedder,
) -> list[ChunkSet]:
    """Embed all documents' chunks in one call, so that texts of like length share a batch."""
    texts = [
        embedded_text(document.title, span.heading_path, span.text)
        for document, spans in zip(documents, cut, strict=True)
        for span in spans
    ]
    vectors = np.split(embedder.embed_passages(texts), np.cumsum([len(spans) for spans in cut])[:-1])
    return [
        ChunkSet(new_id("doc"), collection_id, chunking.key, spans, {embedder.id: own})
        for spans, own in zip(cut, vectors, strict=True)
    ]


def _save_document(session: Session, document: SetDocument, chunks: ChunkSet) -> None:
    # Two documents of a set may have the same text; in one collection only their hashes must differ.
    digest = sha256(f"{document.id}\0{document.text}".encode()).hexdigest()
    session.add(
        Document(
            id=chunks.document_id,
            collection_id=chunks.collection_id,
            external_id=document.id,
            status="ready",
            version=1,
            title=document.title,
            media_type=_MEDIA_TYPE,
            sha256=digest,
            chunk_count=len(chunks.spans),
        )
    )
    session.flush()
    session.add(
        DocumentVersion(
            document_id=chunks.document_id,
            version=1,
            collection_id=chunks.collection_id,
            state="current",
            sha256=digest,
            title=document.title,
            media_type=_MEDIA_TYPE,
            text=document.text,
        )
    )
