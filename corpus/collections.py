"""Collections: making, finding, listing and deleting them, and which generation serves each."""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from corpus.chunks import Chunking
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import CollectionExists, CollectionNotFound, InvalidRequest, NotReady
from corpus.ids import new_id
from corpus.models import (
    ActiveGeneration,
    Collection,
    Document,
    DocumentVersion,
    Generation,
    Job,
    JobItem,
    note_unused,
    now,
)

DEFAULT_COLLECTION = "default"
DEFAULT_OVERLAP = 32
LEAST_TOKENS = 32  # a chunk shorter than that has no room beside its title and headings
_MOST_NAMES = 1000  # lists of names that are remembered
_LONGEST_NAME = 200
_RACES = 5
_ID_PREFIX = "col_"
_FORBIDDEN = frozenset("/\\?#%")  # they change their meaning inside a URL's path


@dataclass(frozen=True, slots=True)
class CollectionSummary:
    """A collection as it is listed; `embedder` and `chunking` are those of its active generation."""

    id: str
    name: str
    description: str
    embedder: str
    chunking: str
    document_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What a deleted collection leaves outside the database, to be removed after the commit."""

    originals: tuple[str, ...]  # sha256 of its bytes, which other documents may use
    generations: tuple[str, ...]  # ids, each the name of a folder


def create_collection(
    session: Session,
    *,
    name: str,
    embedder: Embedder,
    description: str = "",
    max_tokens: int | None = None,
    overlap: int | None = None,
) -> Collection:
    """Make a collection with an active, empty generation that pins its embedder and chunking.

    Args:
        session: a write transaction.
        name: 1 to 200 printable characters, see `checked_name`.
        embedder: makes the collection's vectors.
        description: free text.
        max_tokens: longest chunk in the embedder's word pieces; None: as many as the embedder takes.
        overlap: word pieces that neighbouring chunks share; None: 32, or an eighth of a short chunk.

    Raises:
        InvalidRequest: the name or the sizes do not fit; the message says why.
        CollectionExists: the name is taken.
    """
    collection = Collection(id=new_id("col"), name=checked_name(name), description=description)
    generation = _empty_generation(collection.id, embedder, checked_chunking(embedder, max_tokens, overlap))
    try:
        with session.begin_nested():
            session.add(collection)
            session.flush()
            session.add(generation)
            session.flush()
            session.add(ActiveGeneration(collection_id=collection.id, generation_id=generation.id))
    except IntegrityError as error:
        raise CollectionExists(
            f"A collection named {collection.name!r} exists; choose another name."
        ) from error
    return collection


def find_or_create_collection(session: Session, *, name: str, embedder: Embedder) -> Collection:
    """Return the collection of this name, made now if need be; of two racing callers one makes it."""
    try:
        return find_collection(session, name)
    except CollectionNotFound:
        pass
    try:
        return create_collection(session, name=name, embedder=embedder)
    except CollectionExists:
        return find_collection(session, name)


def find_collection(session: Session, name_or_id: str) -> Collection:
    """Return a collection by its name or its id.

    Raises:
        CollectionNotFound: there is none.
    """
    by_id = name_or_id.startswith(_ID_PREFIX)
    column = Collection.id if by_id else Collection.name
    wanted = name_or_id if by_id else unicodedata.normalize("NFC", name_or_id)
    # PostgreSQL refuses NUL in any text; no collection has it.
    found = None if "\0" in wanted else session.scalar(select(Collection).where(column == wanted))
    if found is None:
        raise CollectionNotFound(
            f"There is no collection {name_or_id!r}; `rag collections list` shows which there are."
        )
    return found


def collection_ids(session: Session, names: Iterable[str]) -> list[str]:
    """Return the ids of collections by their names or ids, each once.

    Raises:
        CollectionNotFound: there is no such collection.
    """
    return list(dict.fromkeys(find_collection(session, name).id for name in names))


class CollectionNames:
    """Finds the ids of collections; asks the database again only when somebody committed something."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: tuple[int | None, dict[tuple[str, ...], list[str]]] = (None, {})

    def ids(self, names: tuple[str, ...]) -> list[str]:
        """Return the ids, each once.

        Raises:
            CollectionNotFound: there is no such collection.
        """
        version = self._database.version()  # before the snapshot
        of_version, known = self._known
        if version is not None and of_version == version and names in known:
            return known[names]
        with self._database.read() as session:
            found = collection_ids(session, names)
        if version is not None:
            kept = known if of_version == version and len(known) < _MOST_NAMES else {}
            self._known = (version, {**kept, names: found})
        return found


def active_generation(session: Session, collection_id: str) -> Generation:
    """Return the generation that serves a collection.

    Raises:
        CollectionNotFound: there is no such collection.
        NotReady: none of its generations is active.
    """
    generation = session.scalar(
        select(Generation)
        .join(ActiveGeneration, ActiveGeneration.generation_id == Generation.id)
        .where(ActiveGeneration.collection_id == collection_id)
    )
    if generation is None:
        collection = find_collection(session, collection_id)
        raise NotReady(f"Collection {collection.name!r} has no active generation; run `rag reindex`.")
    return generation


def keep_collections(session: Session, collection_ids: Iterable[str]) -> None:
    """Hold off the deletion of collections; taken after jobs and before documents, as a deletion does.

    Whatever adds rows of a collection holds it, through their foreign keys at the latest, and then waits in
    a circle with a deletion if it has a document that this needs.
    """
    statement = select(Collection.id).where(Collection.id.in_(list(collection_ids))).order_by(Collection.id)
    session.execute(statement.with_for_update(read=True, key_share=True))


def list_collections(
    session: Session, *, limit: int = 100, after: str | None = None
) -> list[CollectionSummary]:
    """Return up to `limit` collections, oldest first, those after the id `after`."""
    statement = _summaries().order_by(Collection.id).limit(limit)
    if after is not None:
        statement = statement.where(Collection.id > after)
    return [CollectionSummary(*row) for row in session.execute(statement)]


def summarize_collection(session: Session, collection_id: str) -> CollectionSummary:
    """Return one collection as it is listed.

    Raises:
        CollectionNotFound: there is no such collection.
    """
    row = session.execute(_summaries().where(Collection.id == collection_id)).one_or_none()
    if row is None:
        raise CollectionNotFound(f"There is no collection {collection_id!r}.")
    return CollectionSummary(*row)


def delete_collection(session: Session, collection_id: str) -> Leftovers:
    """Delete a collection with its documents, chunks, generations and jobs.

    A job that still has documents of other collections to read stays, and is nobody's.

    Tombstones are not needed: followers drop a collection that has no active generation.

    Raises:
        CollectionNotFound: there is no such collection.
    """
    collection_id = find_collection(session, collection_id).id
    _lock_whole(session, collection_id)
    versions = select(DocumentVersion.sha256).where(DocumentVersion.collection_id == collection_id)
    # Others may use the same bytes, or give them up at this moment: who removes the files looks.
    originals = sorted(session.scalars(versions.distinct()))
    generations = session.scalars(
        select(Generation.id).where(Generation.collection_id == collection_id)
    ).all()
    _free_jobs_of_others(session, collection_id)
    session.execute(delete(Collection).where(Collection.id == collection_id))
    note_unused(session, originals)
    return Leftovers(originals=tuple(originals), generations=tuple(generations))


def checked_name(name: str) -> str:
    r"""Return the name in Unicode's form C.

    Raises:
        InvalidRequest: the name is empty or longer than 200 characters, begins with ``col_`` (which
            marks ids) or a full stop, begins or ends with white space, or has a character that is not
            printable or means something in a URL (``/ \ ? # %``).
    """
    normal = unicodedata.normalize("NFC", name)
    problem = _name_problem(normal)
    if problem:
        raise InvalidRequest(f"name: {problem}; choose another collection name.")
    return normal


def checked_chunking(embedder: Embedder, max_tokens: int | None, overlap: int | None) -> Chunking:
    """Return a chunking for this embedder, with what is None filled in as `create_collection` says.

    Raises:
        InvalidRequest: the sizes do not fit the embedder or each other.
    """
    tokens = embedder.max_tokens if max_tokens is None else max_tokens
    shared = min(DEFAULT_OVERLAP, tokens // 8) if overlap is None else overlap
    least = min(LEAST_TOKENS, embedder.max_tokens)
    if not least <= tokens <= embedder.max_tokens:
        raise InvalidRequest(
            f"max_tokens: {embedder.name} takes {least} to {embedder.max_tokens}, not {tokens}."
        )
    if not 0 <= shared <= tokens // 2:
        raise InvalidRequest(f"overlap: must be 0 to half of max_tokens ({tokens // 2}), not {shared}.")
    return Chunking(tokenizer=embedder.name, max_tokens=tokens, overlap=shared)


def _name_problem(name: str) -> str | None:
    if not 1 <= len(name) <= _LONGEST_NAME:
        return f"must have 1 to {_LONGEST_NAME} characters"
    if name.startswith((_ID_PREFIX, ".")):
        return f"must not begin with {_ID_PREFIX!r} or a full stop"
    if name != name.strip():
        return "must not begin or end with white space"
    if not name.isprintable() or _FORBIDDEN & set(name):
        return f"must not have control characters or any of {' '.join(sorted(_FORBIDDEN))}"
    return None


def _empty_generation(collection_id: str, embedder: Embedder, chunking: Chunking) -> Generation:
    return Generation(
        id=new_id("gen"),
        collection_id=collection_id,
        embedder=embedder.id,
        dimension=embedder.dimension,
        chunking=chunking.key,
        index_type="auto",
        state="active",
        change_number=0,
        activated_at=now(),
    )


def _summaries() -> Select[str, str, str, str, str, int, datetime]:
    documents = (
        select(func.count())
        .where(Document.collection_id == Collection.id)
        .correlate(Collection)
        .scalar_subquery()
    )
    return (
        select(
            Collection.id,
            Collection.name,
            Collection.description,
            func.coalesce(Generation.embedder, ""),
            func.coalesce(Generation.chunking, ""),
            documents,
            Collection.created_at,
        )
        .outerjoin(ActiveGeneration, ActiveGeneration.collection_id == Collection.id)
        .outerjoin(Generation, Generation.id == ActiveGeneration.generation_id)
    )


def _lock_whole(session: Session, collection_id: str) -> None:
    """Lock a collection's jobs, itself and its documents, in this order, which is everybody's.

    When it is locked, nothing new comes into it. A job that came while this waited for it would be locked
    too late: then all is let go and locked anew.
    """
    for _ in range(_RACES):
        with session.begin_nested() as attempt:
            locked = session.scalars(_jobs(collection_id).with_for_update()).all()
            session.execute(select(Collection.id).where(Collection.id == collection_id).with_for_update())
            if session.scalars(_jobs(collection_id)).all() == locked:
                break
            attempt.rollback()
    documents = select(Document.id).where(Document.collection_id == collection_id)
    session.execute(documents.order_by(Document.id).with_for_update())


def _free_jobs_of_others(session: Session, collection_id: str) -> None:
    """Lines of a file may name other collections than their job's; without it nobody would read those."""
    of_others = (
        select(JobItem.job_id)
        .join(Document, Document.id == JobItem.document_id)
        .where(Document.collection_id != collection_id, JobItem.state.in_(("queued", "running")))
    )
    ours = (Job.collection_id == collection_id, Job.id.in_(of_others))
    session.execute(update(Job).where(*ours).values(collection_id=None))


def _jobs(collection_id: str) -> Select[str]:
    """Return the query for jobs that go with a collection, or whose items lose their documents."""
    of_documents = (
        select(JobItem.job_id)
        .join(Document, Document.id == JobItem.document_id)
        .where(Document.collection_id == collection_id)
    )
    return (
        select(Job.id)
        .where(or_(Job.collection_id == collection_id, Job.id.in_(of_documents)))
        .order_by(Job.id)
    )
