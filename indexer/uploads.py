"""Uploads: what a client says about a document, and where it belongs: new, known, or a new version.

A collection has the same bytes once and each external id once. Constraints of the database hold that,
so of two racing uploads one wins and the other finds the winner.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from pydantic import JsonValue
from sqlalchemy import Select, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from corpus.errors import CollectionNotFound, Conflict, DuplicateDocument, InvalidRequest
from corpus.ids import new_id
from corpus.models import Collection, Document, DocumentVersion, note_unused
from indexer.deletion import bury_early_chunks, lock_document
from indexer.storable import is_storable

OnDuplicate = Literal["skip", "replace", "error"]

EXACT_TEXT = "text/plain; charset=utf-8"
"""Media type of a UTF-8 text that must come back character by character: no parser touches it.

For what our own routes take out of JSON; what a client says of a file has no parameters.
"""

LONGEST_EXTERNAL_ID = 512
LONGEST_TITLE = 1000
LARGEST_METADATA = 64 * 1024  # bytes of JSON in UTF-8
_UNKNOWN = "application/octet-stream"
_RACES = 5
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Upload:
    """What a client says about the bytes that it brings.

    `metadata` None keeps what a replaced document has. `media_type` is a hint; the content decides,
    except for `EXACT_TEXT`.
    """

    collection_id: str
    filename: str | None = None
    media_type: str | None = None
    title: str | None = None
    external_id: str | None = None
    metadata: Mapping[str, JsonValue] | None = None

    @property
    def known_as(self) -> str:
        """What its user calls it: path, file name or title."""
        return self.external_id or self.filename or self.title or "Untitled"

    @property
    def name(self) -> str:
        """What to call it before it has been read."""
        stem = PurePath(self.filename).stem if self.filename else ""
        return self.title or stem or self.external_id or "Untitled"

    @property
    def label(self) -> str:
        """What its client calls it: the name of a job's item."""
        return self.external_id or self.filename or self.title or "Untitled"


def check_upload(upload: Upload) -> None:
    """Refuse what the database could not keep.

    Raises:
        InvalidRequest: a field does not fit; the message names it.
    """
    _check_text("title", upload.title, longest=LONGEST_TITLE)
    _check_text("external_id", upload.external_id, longest=LONGEST_EXTERNAL_ID)
    _check_text("filename", upload.filename, longest=LONGEST_TITLE)
    try:
        encoded = json.dumps(dict(upload.metadata or {}), ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidRequest(f"metadata: must be a JSON object of plain values ({error}).") from error
    if len(encoded) > LARGEST_METADATA:
        raise InvalidRequest(f"metadata: {too_large_metadata(len(encoded))}.")
    if _ESCAPED_NUL.search(encoded):
        raise InvalidRequest("metadata: must not have NUL characters.")


def too_large_metadata(size: int) -> str:
    """Say what is wrong with metadata of so many bytes, wherever they come in."""
    return f"must be at most {LARGEST_METADATA:,} bytes of JSON, not {size:,}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upload belongs; `version` is to be read, None: there is nothing to do.

    `replaces`: it takes the place of other bytes of the same document.
    """

    document: Document
    version: int | None
    superseded: tuple[str, ...] = ()
    replaces: bool = False


def place_upload(
    session: Session, upload: Upload, sha256: str, *, on_duplicate: OnDuplicate, document_id: str | None
) -> Place:
    """Find the document that an upload belongs to, or make it, and add a pending version if need be.

    Raises:
        CollectionNotFound, Conflict, DuplicateDocument, DocumentNotFound: see `indexer.intake.take_in`.
    """
    for _ in range(_RACES):
        try:
            with session.begin_nested():
                return _place(session, upload, sha256, on_duplicate, document_id)
        except IntegrityError:  # another upload was faster; now it can be seen
            continue
    if session.get(Collection, upload.collection_id) is None:
        raise CollectionNotFound("The collection was deleted at this moment; choose another one.")
    raise Conflict("The same document is being uploaded by others at this moment; try again.")


def place_new(session: Session, stored: Sequence[tuple[str, Upload]]) -> list[Place] | None:
    """Make a document for each of some uploads at once, if all are new to their collections; else None.

    `stored` has the hash of each upload's bytes. One by one, `place_upload` would ask the database about
    each and wait for each of its rows.
    """
    if _is_any_known(session, stored):
        return None
    made = [_new_document(upload, sha256) for sha256, upload in stored]
    try:
        with session.begin_nested():
            session.add_all([document for document, _ in made])
            session.flush()
            session.add_all([version for _, version in made])
    except IntegrityError:  # another upload was faster
        return None
    return [Place(document, version.version) for document, version in made]


def hold_known(session: Session, stored: Sequence[tuple[str, Upload]]) -> None:
    """Hold the documents that some uploads may belong to, in the order in which everybody takes them.

    `place_upload` takes them one by one, in the order of the uploads.
    """
    known = {document_id for each in _known_documents(stored) for document_id in session.scalars(each)}
    statement = select(Document.id).where(Document.id.in_(known)).order_by(Document.id)
    session.execute(statement.with_for_update())


def _is_any_known(session: Session, stored: Sequence[tuple[str, Upload]]) -> bool:
    """Tell whether bytes or an external id are in the collection already, or come twice."""
    hashes = {(upload.collection_id, sha256) for sha256, upload in stored}
    named = [(each.collection_id, each.external_id) for _, each in stored if each.external_id is not None]
    if len(hashes) < len(stored) or len(set(named)) < len(named):
        return True
    return any(session.scalar(each.limit(1)) is not None for each in _known_documents(stored))


def _known_documents(stored: Sequence[tuple[str, Upload]]) -> Sequence[Select[str]]:
    """Return the queries for documents that have bytes or external ids of some uploads."""
    collections = {upload.collection_id for _, upload in stored}
    of_document = Document.collection_id.in_(collections)
    same_bytes = {sha256 for sha256, _ in stored}
    names = {upload.external_id for _, upload in stored if upload.external_id is not None}
    return (
        select(Document.id).where(of_document, Document.sha256.in_(same_bytes)),
        select(Document.id).where(of_document, Document.external_id.in_(names)),
        select(DocumentVersion.document_id).where(
            DocumentVersion.collection_id.in_(collections),
            DocumentVersion.sha256.in_(same_bytes),
            text("state != 'failed'"),  # as the index says it: a parameter would not find that
        ),
    )


def _place(
    session: Session, upload: Upload, sha256: str, on_duplicate: OnDuplicate, document_id: str | None
) -> Place:
    named = _named_document(session, upload, document_id)
    twin = _live_version(session, upload.collection_id, sha256, named)
    if on_duplicate == "error" and document_id is None and (named or twin):
        known = named.id if named else twin and twin.document_id
        raise DuplicateDocument(f"The collection has this document already: {known}.")
    if twin is not None:
        if named is not None and twin.document_id != named.id:
            raise _bytes_of_another(session, named, twin.document_id)
        if named is None and _is_leaving(session, twin):
            raise Conflict(
                f"The same bytes are document {twin.document_id}, which is being replaced by newer ones; "
                "send them again when it is ready, then they are a document of their own."
            )
        superseded = () if named is None else _drop_waiting(session, named, besides=twin)
        return _meet_twin(session, twin, upload, superseded, again=on_duplicate == "replace")
    retried = named or _failed_document(session, upload.collection_id, sha256)
    if retried is not None:
        return _add_version(session, retried, upload, sha256)
    return _add_document(session, upload, sha256)


def _named_document(session: Session, upload: Upload, document_id: str | None) -> Document | None:
    if document_id is not None:
        return lock_document(session, document_id)
    if upload.external_id is None:
        return None
    return session.scalar(
        select(Document)
        .where(Document.collection_id == upload.collection_id, Document.external_id == upload.external_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _live_version(
    session: Session, collection_id: str, sha256: str, named: Document | None
) -> DocumentVersion | None:
    """Return the version that has these bytes, as it stays while its document is held.

    That is the `named` one, or else taken now: documents go before their versions. One of another document
    beside the named one is only looked at; its holder may wait for what this transaction holds.
    """
    statement = (
        select(DocumentVersion)
        .where(
            DocumentVersion.collection_id == collection_id,
            DocumentVersion.sha256 == sha256,
            DocumentVersion.state != "failed",
        )
        .execution_options(populate_existing=True)
    )
    twin = session.scalar(statement)
    if twin is None or named is not None:
        return twin
    session.execute(select(Document.id).where(Document.id == twin.document_id).with_for_update())
    return session.scalar(statement)


def _failed_document(session: Session, collection_id: str, sha256: str) -> Document | None:
    return session.scalar(
        select(Document)
        .where(
            Document.collection_id == collection_id, Document.sha256 == sha256, Document.status == "failed"
        )
        .order_by(Document.id)
        .limit(1)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _is_leaving(session: Session, version: DocumentVersion) -> bool:
    """Tell whether a newer version waits to take the place of this one, whose bytes will be gone then."""
    waiting = select(DocumentVersion.version).where(
        DocumentVersion.document_id == version.document_id, DocumentVersion.state == "pending"
    )
    return version.state == "current" and session.scalar(waiting) is not None


def _bytes_of_another(session: Session, document: Document, owner_id: str) -> DuplicateDocument:
    """Say why a document can not get these bytes: it would go on showing what they were to replace."""
    owner = session.get(Document, owner_id)
    return DuplicateDocument(
        f"Document {_called(document, document.id)} can not get the bytes of document "
        f"{_called(owner, owner_id)}, because a collection has the same bytes once; "
        f"delete the first, which shows older ones, or the second, and send them again."
    )


def _called(document: Document | None, document_id: str) -> str:
    return f"{document_id} ({document.external_id or document.title})" if document else document_id


def _drop_waiting(session: Session, document: Document, *, besides: DocumentVersion) -> tuple[str, ...]:
    """Drop what came after bytes that now come again, so that the last upload wins; return the hashes."""
    dropped = session.scalars(
        select(DocumentVersion).where(
            DocumentVersion.document_id == document.id,
            DocumentVersion.version != besides.version,
            DocumentVersion.state != "current",
        )
    ).all()
    for version in dropped:
        session.delete(version)
        document.error = None
    session.flush()
    note_unused(session, [version.sha256 for version in dropped])
    return tuple(version.sha256 for version in dropped)


def _meet_twin(
    session: Session, twin: DocumentVersion, upload: Upload, superseded: tuple[str, ...], *, again: bool
) -> Place:
    document = session.get_one(Document, twin.document_id)
    if not again:
        version = twin.version if _was_read_in_vain(session, document, twin) else None
        return Place(document, version, superseded)
    twin.title = upload.title or twin.title
    twin.filename = upload.filename or twin.filename
    if upload.metadata is not None:
        twin.metadata_ = dict(upload.metadata)
    session.flush()
    # A pending version is about to be read anyway, with the new fields.
    return Place(document, twin.version if twin.state == "current" else None, superseded)


def _was_read_in_vain(session: Session, document: Document, current: DocumentVersion) -> bool:
    """Tell whether the last reading of the version that readers see failed: its bytes were lost, perhaps.

    With another version beside it, the document's error is that one's.
    """
    if document.error is None or current.state != "current":
        return False
    others = select(DocumentVersion.version).where(
        DocumentVersion.document_id == document.id, DocumentVersion.version != current.version
    )
    return session.scalar(others.limit(1)) is None


def _add_version(session: Session, document: Document, upload: Upload, sha256: str) -> Place:
    """Add a version beside the current one; versions that wait or failed make room for it."""
    versions = session.scalars(
        select(DocumentVersion).where(DocumentVersion.document_id == document.id).with_for_update()
    ).all()
    retried = next((v for v in versions if v.sha256 == sha256 and v.state == "failed"), None)
    dropped = [v for v in versions if v.state != "current" and v is not retried]
    for version in dropped:
        session.delete(version)
    session.flush()
    note_unused(session, [version.sha256 for version in dropped])
    if retried is None:
        number = max((v.version for v in versions), default=document.version) + 1
        retried = DocumentVersion(
            document_id=document.id, version=number, collection_id=document.collection_id
        )
        session.add(retried)
    _describe(retried, upload, sha256, kept_metadata=document.metadata_)
    document.error = None
    document.external_id = document.external_id or upload.external_id
    if not any(v.state == "current" for v in versions):
        _show_as_pending(document, retried, upload)
        bury_early_chunks(session, document.id)  # of a version that was being read when this one came
    session.flush()
    return Place(document, retried.version, tuple(v.sha256 for v in dropped), replaces=True)


def _new_document(upload: Upload, sha256: str) -> tuple[Document, DocumentVersion]:
    document = Document(id=new_id("doc"), collection_id=upload.collection_id, external_id=upload.external_id)
    version = DocumentVersion(document_id=document.id, version=1, collection_id=upload.collection_id)
    _describe(version, upload, sha256, kept_metadata={})
    _show_as_pending(document, version, upload)
    return document, version


def _add_document(session: Session, upload: Upload, sha256: str) -> Place:
    document, version = _new_document(upload, sha256)
    session.add(document)
    session.flush()
    session.add(version)
    session.flush()
    return Place(document, version.version)


def _describe(
    version: DocumentVersion, upload: Upload, sha256: str, *, kept_metadata: dict[str, JsonValue]
) -> None:
    version.state = "pending"
    version.sha256 = sha256
    version.filename = upload.filename
    version.title = upload.title
    version.media_type = upload.media_type
    version.metadata_ = dict(kept_metadata if upload.metadata is None else upload.metadata)


def _show_as_pending(document: Document, version: DocumentVersion, upload: Upload) -> None:
    """Let a document that has nothing to show yet show what waits."""
    document.status = "pending"
    document.version = version.version
    document.title = upload.name
    document.media_type = (upload.media_type or _UNKNOWN).partition(";")[0].strip()
    document.sha256 = version.sha256
    document.metadata_ = version.metadata_


def _check_text(field: str, value: str | None, *, longest: int) -> None:
    if value is None:
        return
    if len(value) > longest:
        raise InvalidRequest(f"{field}: at most {longest} characters, not {len(value)}.")
    if not is_storable(value):
        raise InvalidRequest(f"{field}: must not have NUL characters or halves of surrogate pairs.")
