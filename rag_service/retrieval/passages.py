"""Passages: chunks as retrieved, read from the database in one snapshot."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from json import loads
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, select
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from corpus.models import Chunk, Document

_BATCH = 500  # ids in one statement; SQLite and PostgreSQL both take many more


@dataclass(frozen=True, slots=True)
class Scores:
    """How well a passage fits the query; None where the search did not ask that index.

    `dense` is a cosine, `lexical` a BM25 score, `fused` what the ranking is by (in a search by one
    index alone: that index's score). Where a reranker has read the passage, `reranked` is its score, and the
    ranking goes by that.
    """

    dense: float | None
    lexical: float | None
    fused: float
    reranked: float | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of one document: ``content[start:end] == text``."""

    chunk_id: int
    document_id: str
    external_id: str | None
    document_title: str
    document_version: int
    collection_id: str
    text: str
    page: int | None
    start: int
    end: int
    heading_path: tuple[str, ...]
    metadata: Mapping[str, object]
    scores: Scores
    chunking: str
    position: int

    @property
    def full_title(self) -> str:
        """The document's title and the headings above the passage."""
        return " > ".join((self.document_title, *self.heading_path))


class ChunksGone(Exception):
    """Chunks were deleted or replaced after the indexes had found them."""


ReadRows = Callable[[list[int]], Mapping[int, Sequence[Any]]]  # chunks' ids to the rows of those that exist


def load_passages(
    read: ReadRows, ranked: Iterable[tuple[int, Scores]], *, at_once: int = _BATCH, all_there: bool = False
) -> Iterator[Passage]:
    """Yield the chunks that still exist, in the given order; those that are gone are left out.

    Raises:
        ChunksGone: with `all_there`, instead of leaving out one.
    """
    remaining = iter(ranked)
    while batch := list(islice(remaining, at_once)):
        rows = read([chunk_id for chunk_id, _ in batch])
        if all_there and len(rows) < len(batch):
            raise ChunksGone
        for chunk_id, scores in batch:
            if chunk_id in rows:
                yield _passage(rows[chunk_id], scores)


def rows_by_id(connection: Connection, condition: ColumnElement[bool] | None) -> ReadRows:
    """Return how rows are read: as columns, so that the statement is there already and no entity is made.

    `condition` is asked again here, because documents can change after the indexes were searched.
    """
    statement = _BY_ID if condition is None else _BY_ID.where(condition)

    def read(chunk_ids: list[int]) -> dict[int, Sequence[Any]]:
        return {row[0]: row for row in connection.execute(statement, {"chunk_ids": chunk_ids})}

    return read


def bare_rows_by_id(connection: Connection | sqlite3.Connection) -> ReadRows:
    """Return how rows are read without a condition; see `Database.bare_snapshot`."""
    if isinstance(connection, Connection):
        return rows_by_id(connection, None)

    def read(chunk_ids: list[int]) -> dict[int, Sequence[Any]]:
        found = connection.execute(_sqlite_statement(len(chunk_ids)), chunk_ids)
        return {row[0]: (*row[:-2], loads(row[-2]), loads(row[-1])) for row in found}

    return read


_COLUMNS = (
    Chunk.id,
    Chunk.document_id,
    Document.external_id,
    Document.title,
    Document.version,
    Document.collection_id,
    Chunk.text,
    Chunk.page,
    Chunk.start,
    Chunk.end,
    Chunk.chunking,
    Chunk.position,
    Chunk.heading_path,  # the last two are JSON
    Document.metadata_,
)
_STATEMENT = select(*_COLUMNS).join(Document, Document.id == Chunk.document_id)
_BY_ID = _STATEMENT.where(Chunk.id.in_(bindparam("chunk_ids", expanding=True)))


@lru_cache(maxsize=64)
def _sqlite_statement(count: int) -> str:
    """Return the statement for so many ids as SQLite's driver takes it."""
    by_id = _STATEMENT.where(Chunk.id.in_(range(count)))
    return str(by_id.compile(dialect=sqlite_dialect(), compile_kwargs={"render_postcompile": True}))


def _passage(row: Sequence[Any], scores: Scores) -> Passage:
    (chunk_id, document_id, external_id, title, version, collection_id, text, page, start, end) = row[:10]
    chunking, position, path, metadata = row[10:]
    return Passage(
        chunk_id=chunk_id,
        document_id=document_id,
        external_id=external_id,
        document_title=title,
        document_version=version,
        collection_id=collection_id,
        text=text,
        page=page,
        start=start,
        end=end,
        heading_path=tuple(path),
        metadata=metadata,
        scores=scores,
        chunking=chunking,
        position=position,
    )
