"""The tables. The database is the truth; vector and lexical indexes are caches of it.

Every transaction that changes what can be found (chunks, embeddings, tombstones) takes the next
number of one sequence with `next_change_number`. The sequence is a locked row, not a database
sequence: its holder commits before the next one gets a number, so a reader that has seen number n
has seen every change up to n. Indexes follow by asking for "all after n".
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, Session, mapped_column

from corpus.database import Table

Json = JSON().with_variant(JSONB(), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts up by itself in SQLite


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite forgets time zones, so they are put back on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy's signature
    ) -> datetime | None:
        """Refuse moments without a time zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("a moment needs its time zone")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - same
    ) -> datetime | None:
        """Return the moment in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class ChangeSequence(Table):
    """One row: the number of the last change to chunks, embeddings or tombstones."""

    __tablename__ = "change_sequence"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)


class Installation(Table):
    """One row: the database's id, which its data folder keeps too; see `corpus.data_folder`."""

    __tablename__ = "installation"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    database_id: Mapped[str] = mapped_column(String(40))


class Collection(Table):
    """A named set of documents; it pins the embedder and the chunking of its active generation."""

    __tablename__ = "collections"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Document(Table):
    """A document as readers see it: the columns from `title` on are those of its current version."""

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("collection_id", "external_id"),
        Index("ix_documents_collection_id_id", "collection_id", "id"),
    )

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    external_id: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))  # pending | processing | ready | failed
    error: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int]
    title: Mapped[str] = mapped_column(Text)
    media_type: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    # `metadata` is taken by SQLAlchemy itself, hence the attribute's other name.
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", Json, default=dict)
    chunk_count: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)


class DocumentVersion(Table):
    """One upload of a document: its bytes (by hash), its text and its structure.

    `state` is pending (waits or is being read), current (what readers see) or failed. A version that
    is replaced is deleted. Two live versions of one collection can not have the same bytes: that is
    what makes two racing uploads of one file one document.
    """

    __tablename__ = "document_versions"
    __table_args__ = (
        Index(
            "uq_document_versions_live_bytes",
            "collection_id",
            "sha256",
            unique=True,
            sqlite_where=text("state != 'failed'"),
            postgresql_where=text("state != 'failed'"),
        ),
    )

    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(20))  # pending | current | failed
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    filename: Mapped[str | None] = mapped_column(Text)
    title: Mapped[str | None] = mapped_column(Text)  # as given by the user; else the parser's
    media_type: Mapped[str | None] = mapped_column(String(200))
    metadata_: Mapped[dict[str, Any]] = mapped_column("metadata", Json, default=dict)
    text: Mapped[str | None] = mapped_column(Text)
    # Spans of `text`: [{"start", "end", "number"}] and [{"start", "level", "title"}].
    pages: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    headings: Mapped[list[dict[str, Any]]] = mapped_column(Json, default=list)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class Chunk(Table):
    """A span of one document's text; the primary key is its id in every index and is never reused."""

    __tablename__ = "chunks"
    __table_args__ = (
        UniqueConstraint("document_id", "chunking", "position"),
        Index("ix_chunks_collection_id_chunking_change_number", "collection_id", "chunking", "change_number"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    document_id: Mapped[str] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    chunking: Mapped[str] = mapped_column(String(200))  # how the text was cut: `Chunking.key`
    position: Mapped[int]
    start: Mapped[int]
    end: Mapped[int]
    page: Mapped[int | None]
    heading_path: Mapped[list[str]] = mapped_column(Json, default=list)
    text: Mapped[str] = mapped_column(Text)
    token_count: Mapped[int]
    change_number: Mapped[int] = mapped_column(BigInteger)


class Embedding(Table):
    """A chunk's vector by one embedder: float16, little-endian, unit length."""

    __tablename__ = "embeddings"
    __table_args__ = (
        Index(
            "ix_embeddings_collection_id_embedder_change_number", "collection_id", "embedder", "change_number"
        ),
    )

    chunk_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("chunks.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    embedder: Mapped[str] = mapped_column(String(200), primary_key=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    change_number: Mapped[int] = mapped_column(BigInteger)


class Tombstone(Table):
    """A chunk that is gone; indexes that still hold it must forget it."""

    __tablename__ = "tombstones"
    __table_args__ = (Index("ix_tombstones_collection_id_change_number", "collection_id", "change_number"),)

    chunk_id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    change_number: Mapped[int] = mapped_column(BigInteger)


class UnusedOriginal(Table):
    """Bytes that a transaction left without a version; the row goes when their file is gone.

    Whoever commits it removes the file afterwards. Killed in between, it leaves that to the next worker.
    """

    __tablename__ = "unused_originals"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)


class Generation(Table):
    """A published index of one collection: an immutable base folder plus the tail of later changes.

    `change_number` is the last change that the base holds; 0 for a generation without a base.
    `state` is building, ready (built, waits for promotion), active, retired (kept for rollback) or
    failed.
    """

    __tablename__ = "generations"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"), index=True)
    embedder: Mapped[str] = mapped_column(String(200))
    # Package or folder that workers load the embedder from; None: they have it by their settings.
    embedder_source: Mapped[str | None] = mapped_column(Text)
    dimension: Mapped[int]
    chunking: Mapped[str] = mapped_column(String(200))
    index_type: Mapped[str] = mapped_column(String(40), default="auto")
    state: Mapped[str] = mapped_column(String(20))
    change_number: Mapped[int] = mapped_column(BigInteger, default=0)
    vector_count: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ActiveGeneration(Table):
    """Which generation serves a collection: promotion and rollback change this one row."""

    __tablename__ = "active_generations"

    collection_id: Mapped[str] = mapped_column(
        ForeignKey("collections.id", ondelete="CASCADE"), primary_key=True
    )
    generation_id: Mapped[str] = mapped_column(ForeignKey("generations.id", ondelete="CASCADE"))


class Job(Table):
    """Long work that a durable workflow of the same id carries out."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))  # ingestion | reindex | compaction
    collection_id: Mapped[str | None] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    state: Mapped[str] = mapped_column(String(20), index=True)  # queued|running|completed|failed|cancelled
    stage: Mapped[str | None] = mapped_column(String(40))
    options: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    idempotency_key: Mapped[str | None] = mapped_column(String(200), unique=True)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobItem(Table):
    """One document of an ingestion job."""

    __tablename__ = "job_items"
    __table_args__ = (Index("ix_job_items_job_id_state_position", "job_id", "state", "position"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text)  # what the user called it: path, file name or external id
    document_id: Mapped[str | None] = mapped_column(
        ForeignKey("documents.id", ondelete="SET NULL"), index=True
    )
    version: Mapped[int | None]
    state: Mapped[str] = mapped_column(String(20))  # queued | running | done | failed | skipped | cancelled
    error: Mapped[str | None] = mapped_column(Text)
    error_kind: Mapped[str | None] = mapped_column(String(20))  # permanent | transient
    attempts: Mapped[int] = mapped_column(default=0)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)


class ApiKey(Table):
    """A key's hash and what it may do; the key itself is shown once and never stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AnswerModel(Table):
    """A chat model, or an adapter for one, that may answer; at most one is active."""

    __tablename__ = "answer_models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(200), unique=True)
    path: Mapped[str] = mapped_column(Text)
    base_sha256: Mapped[str | None] = mapped_column(String(64))
    adapter_sha256: Mapped[str | None] = mapped_column(String(64))
    evaluation: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    active: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    activated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Trace(Table):
    """What happened for one answer, enough to run it again."""

    __tablename__ = "traces"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    answer_id: Mapped[str] = mapped_column(String(40), unique=True)
    question: Mapped[str] = mapped_column(Text)
    record: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


class Feedback(Table):
    """What a reader thought of one answer; goes when the answer's trace goes."""

    __tablename__ = "feedback"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    answer_id: Mapped[str] = mapped_column(ForeignKey("traces.answer_id", ondelete="CASCADE"), index=True)
    rating: Mapped[str] = mapped_column(String(20))  # good | bad
    comment: Mapped[str | None] = mapped_column(Text)
    correction: Mapped[str | None] = mapped_column(Text)  # the answer as it should have been
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


def note_unused(session: Session, hashes: Iterable[str]) -> None:
    """Note that bytes may be unused when this transaction has ended; see `UnusedOriginal`."""
    rows = [{"sha256": sha256} for sha256 in hashes]
    if rows:
        session.execute(insert(UnusedOriginal), rows)


def next_change_number(session: Session) -> int:
    """Take the next change number; other writers wait here until this transaction ends."""
    statement = (
        update(ChangeSequence)
        .where(ChangeSequence.id == 1)
        .values(number=ChangeSequence.number + 1)
        .returning(ChangeSequence.number)
    )
    return session.execute(statement).scalar_one()


def last_change_number(session: Session) -> int:
    """Return the number of the last committed change that this snapshot sees."""
    return session.execute(select(ChangeSequence.number)).scalar_one()
