"""Reading documents: one, many, their chunks, their text; and changing what is not their content."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import Select, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from corpus.collections import active_generation
from corpus.errors import Conflict, DocumentNotFound, DuplicateDocument
from corpus.models import Chunk, Collection, Document, DocumentVersion, next_change_number, now
from indexer.deletion import lock_document
from indexer.repair import queue_reading

if TYPE_CHECKING:
    from pydantic import JsonValue


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document as it is shown; `collection` is the collection's name."""

    id: str
    external_id: str | None
    collection_id: str
    collection: str
    title: str
    media_type: str
    sha256: str
    version: int
    status: str
    error: str | None
    metadata: "Mapping[str, JsonValue]"
    chunk_count: int
    created_at: datetime
    updated_at: datetime


def find_document(session: Session, document_id: str) -> DocumentView:
    """Return one document.

    Raises:
        DocumentNotFound: there is no such document.
    """
    row = session.execute(_views().where(Document.id == document_id)).one_or_none()
    if row is None:
        raise _not_found(document_id)
    return _view(row[0], row[1])


def list_documents(
    session: Session,
    *,
    collection_id: str | None = None,
    status: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> list[DocumentView]:
    """Return up to `limit` documents, oldest first, those after the id `after`."""
    statement = _views().order_by(Document.id).limit(limit)
    if collection_id is not None:
        statement = statement.where(Document.collection_id == collection_id)
    if status is not None:
        statement = statement.where(Document.status == status)
    if after is not None:
        statement = statement.where(Document.id > after)
    return [_view(row[0], row[1]) for row in session.execute(statement)]


def list_chunks(session: Session, document_id: str, *, limit: int = 100, after: int = -1) -> Sequence[Chunk]:
    """Return up to `limit` chunks as the active generation has them, after the position `after`.

    Raises:
        DocumentNotFound: there is no such document.
    """
    document = session.get(Document, document_id)
    if document is None:
        raise _not_found(document_id)
    chunking = active_generation(session, document.collection_id).chunking
    of_document = (Chunk.document_id == document_id, Chunk.chunking == chunking, Chunk.position > after)
    return session.scalars(select(Chunk).where(*of_document).order_by(Chunk.position).limit(limit)).all()


def read_text(session: Session, document_id: str) -> str:
    """Return the text that chunks and citations are spans of.

    That of a new document is there as soon as it is found by its words, before its vectors are.

    Raises:
        DocumentNotFound: there is no such document.
        Conflict: it has not been read yet, or could not be.
    """
    document = find_document(session, document_id)
    text = session.scalar(
        select(DocumentVersion.text).where(
            DocumentVersion.document_id == document_id,
            DocumentVersion.version == document.version,
            DocumentVersion.state != "failed",
        )
    )
    if text is None:
        reason = document.error or "it is still being read; try again in a moment."
        raise Conflict(f"Document {document_id} has no text: {reason}")
    return text


def change_document(
    session: Session,
    document_id: str,
    *,
    title: str | None = None,
    metadata: "Mapping[str, JsonValue] | None" = None,
) -> None:
    """Change what is shown of a document; None leaves it as it is.

    A title is part of the words that are searched, which follow at once, and of what is embedded: the same
    transaction queues a job that embeds the text of a readable document under its new one. Should that
    fail, the document's `error` says why, and a retry of the job mends it.

    Raises:
        DocumentNotFound: there is no such document.
    """
    document = lock_document(session, document_id)
    versions = update(DocumentVersion).where(DocumentVersion.document_id == document_id)
    if title is not None:
        if title != document.title and document.status == "ready":
            # One that waits beside it gets the title when it is read, and may fail.
            queue_reading(session, [document_id], states=["current"], of_kept_text=True)
            _let_indexes_follow(session, document_id)
        document.title = title
        session.execute(versions.values(title=title))
    if metadata is not None:
        document.metadata_ = dict(metadata)
        session.execute(versions.values(metadata_=dict(metadata)))
    document.updated_at = now()
    session.flush()


def _let_indexes_follow(session: Session, document_id: str) -> None:
    """Give a document's chunks a new change number, so that every process takes up its words anew."""
    number = next_change_number(session)
    session.execute(
        update(Chunk)
        .where(Chunk.document_id == document_id)
        .values(change_number=number)
        .execution_options(synchronize_session=False)
    )


def change_external_id(session: Session, document_id: str, external_id: str | None) -> None:
    """Give a document another id of its owner's, or take it away.

    Raises:
        DocumentNotFound: there is no such document.
        DuplicateDocument: another document of the collection has it.
    """
    document = lock_document(session, document_id)
    try:
        with session.begin_nested():
            document.external_id = external_id
            session.flush()
    except IntegrityError as error:
        raise DuplicateDocument(
            f"external_id: another document of the collection has {external_id!r}; choose another."
        ) from error


def _not_found(document_id: str) -> DocumentNotFound:
    return DocumentNotFound(f"There is no document {document_id!r}; it may have been deleted.")


def _views() -> Select[Document, str]:
    return select(Document, Collection.name).join(Collection, Collection.id == Document.collection_id)


def _view(document: Document, collection: str) -> DocumentView:
    return DocumentView(
        id=document.id,
        external_id=document.external_id,
        collection_id=document.collection_id,
        collection=collection,
        title=document.title,
        media_type=document.media_type,
        sha256=document.sha256,
        version=document.version,
        status=document.status,
        error=document.error,
        metadata=document.metadata_,
        chunk_count=document.chunk_count,
        created_at=document.created_at,
        updated_at=document.updated_at,
    )
