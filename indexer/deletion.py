"""Deleting documents, and the bytes that no document needs any more.

A deleted document is out of every search result when the transaction has committed: its chunks are
gone from the database, and tombstones tell the indexes. Its bytes are removed after the commit, which has
noted them (`UnusedOriginal`): what a crash in between leaves, the next worker removes.
"""

import logging
from collections.abc import Iterable
from itertools import islice

from sqlalchemy import and_, delete, insert, literal, select, text, true, update
from sqlalchemy.orm import Session

from corpus.collections import keep_collections
from corpus.database import Database
from corpus.errors import DocumentNotFound
from corpus.models import (
    Chunk,
    Document,
    DocumentVersion,
    Job,
    JobItem,
    Tombstone,
    UnusedOriginal,
    next_change_number,
    note_unused,
)
from corpus.originals import Originals

_log = logging.getLogger(__name__)
_AT_ONCE = 64  # files a transaction: others wait for the lock that long
_DELETED = "The document was deleted before it was read."


def remove_document(database: Database, originals: Originals, document_id: str) -> None:
    """Delete a document, and then its bytes unless another document has the same.

    Raises:
        DocumentNotFound: there is no such document.
    """
    with database.write() as session:
        hashes = delete_document(session, document_id)
    drop_originals(database, originals, hashes)


def delete_document(session: Session, document_id: str) -> list[str]:
    """Delete a document's rows and leave tombstones; return the hashes of its bytes.

    A worker that is reading the document at this moment finds it gone and stops. The caller gives the
    hashes to `drop_originals` after the commit.

    Raises:
        DocumentNotFound: there is no such document.
    """
    open_items = (JobItem.document_id == document_id, JobItem.state.in_(("queued", "running")))
    # Whoever ends a job locks it and then its items: in that order here too. On PostgreSQL an item that is
    # changed and then loses its document has its job looked up, which would wait for whoever waits for us.
    jobs = select(Job.id).where(Job.id.in_(select(JobItem.job_id).where(*open_items))).order_by(Job.id)
    session.execute(jobs.with_for_update(read=True, key_share=True))
    lock_document(session, document_id)
    hashes = session.scalars(
        select(DocumentVersion.sha256).where(DocumentVersion.document_id == document_id)
    ).all()
    session.execute(update(JobItem).where(*open_items).values(state="skipped", error=_DELETED))
    bury_chunks(session, document_ids=[document_id], change_number=next_change_number(session))
    session.execute(delete(Document).where(Document.id == document_id))
    note_unused(session, sorted(set(hashes)))
    return sorted(set(hashes))


def lock_document(session: Session, document_id: str) -> Document:
    """Return a document that no other transaction changes before this one ends.

    Raises:
        DocumentNotFound: there is no such document.
    """
    collection = select(Document.collection_id).where(Document.id == document_id)
    keep_collections(session, session.scalars(collection))
    document = session.scalar(
        select(Document)
        .where(Document.id == document_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if document is None:
        raise DocumentNotFound(f"There is no document {document_id!r}; it may have been deleted.")
    return document


def bury_early_chunks(session: Session, document_id: str) -> None:
    """Bury what a version that will not be finished has been found by already: its words, without vectors.

    Args:
        session: a write transaction that holds the document's lock.
        document_id: a document that has no current version.
    """
    if session.scalar(select(Chunk.id).where(Chunk.document_id == document_id).limit(1)):
        bury_chunks(session, document_ids=[document_id], change_number=next_change_number(session))


def bury_chunks(
    session: Session, *, document_ids: Iterable[str], change_number: int, chunking: str | None = None
) -> None:
    """Delete the chunks of some documents and put a tombstone for each.

    Args:
        session: a write transaction that holds the locks of the documents.
        document_ids: whose chunks.
        change_number: this transaction's number.
        chunking: only the chunks of this chunking; None: all.
    """
    doomed = and_(
        Chunk.document_id.in_(list(document_ids)), true() if chunking is None else Chunk.chunking == chunking
    )
    session.execute(
        insert(Tombstone).from_select(
            ["chunk_id", "collection_id", "change_number"],
            select(Chunk.id, Chunk.collection_id, literal(change_number)).where(doomed),
        )
    )
    session.execute(delete(Chunk).where(doomed).execution_options(synchronize_session=False))


def drop_originals(database: Database, originals: Originals, hashes: Iterable[str]) -> int:
    """Remove bytes that no document refers to; return how many files that were.

    An upload of the same bytes may be under way: it has stored them and is about to commit its row.
    Both sides hold the lock of the bytes, and the upload looks for the file once more under it. A file that
    can not be removed stays noted, and holds up no other.
    """
    dropped = 0
    waiting = iter(sorted(set(hashes)))  # in one order, so that two such transactions never wait in a circle
    while some := list(islice(waiting, _AT_ONCE)):
        with database.write() as session:
            for sha256 in some:
                lock_bytes(session, sha256)
            # Before the looks: who leaves bytes unused after one, and is killed, has noted it for the next.
            session.execute(delete(UnusedOriginal).where(UnusedOriginal.sha256.in_(some)))
            for sha256 in some:
                try:
                    dropped += _drop_original(session, originals, sha256)
                except OSError as error:
                    _log.warning("the bytes of %s can not be removed yet: %s", sha256, error)
                    note_unused(session, [sha256])
    return dropped


def _drop_original(session: Session, originals: Originals, sha256: str) -> bool:
    used = session.scalar(
        select(DocumentVersion.document_id).where(DocumentVersion.sha256 == sha256).limit(1)
    )
    if used is not None or not originals.exists(sha256):
        return False
    originals.delete(sha256)
    return True


def drop_noted_originals(database: Database, originals: Originals) -> int:
    """Remove unused bytes that were left by who was killed before he removed them; return how many."""
    with database.read() as session:
        noted = session.scalars(select(UnusedOriginal.sha256).distinct()).all()
    return drop_originals(database, originals, noted)


def lock_bytes(session: Session, sha256: str) -> None:
    """Make other transactions that lock the same bytes wait for the end of this one.

    On SQLite every write transaction excludes the others from its beginning. That is its first statement,
    which may come after a look for the file: so it begins here.
    """
    if session.get_bind().dialect.name == "postgresql":
        key = int.from_bytes(bytes.fromhex(sha256[:16]), signed=True)
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
    else:
        session.connection()
