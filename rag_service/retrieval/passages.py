"""Passages: chunks as retrieved, read from the database in one snapshot."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, select

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


def load_passages(
    connection: Connection,
    ranked: Sequence[tuple[int, Scores]],
    *,
    condition: ColumnElement[bool] | None = None,
    at_once: int = _BATCH,
    all_there: bool = False,
) -> Iterator[Passage]:
    """Yield the chunks that still exist, in the given order; those that are gone are left out.

    `condition` is asked again here, because documents can change after the indexes were searched.

    Raises:
        ChunksGone: with `all_there`, instead of leaving out one.
    """
    remaining = iter(ranked)
    while batch := list(islice(remaining, at_once)):
        rows = _read(connection, (chunk_id for chunk_id, _ in batch), condition)
        if all_there and len(rows) < len(batch):
            raise ChunksGone
        for chunk_id, scores in batch:
            if chunk_id in rows:
                yield _passage(rows[chunk_id], scores)


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
    Chunk.heading_path,
    Document.metadata_,
    Chunk.chunking,
    Chunk.position,
)
_STATEMENT = select(*_COLUMNS).join(Document, Document.id == Chunk.document_id)
_BY_ID = _STATEMENT.where(Chunk.id.in_(bindparam("chunk_ids", expanding=True)))


def _read(
    connection: Connection, chunk_ids: Iterable[int], condition: ColumnElement[bool] | None
) -> dict[int, Row[*tuple[Any, ...]]]:
    """Read rows of columns: the statement is there already, and no entity is made."""
    statement = _BY_ID if condition is None else _BY_ID.where(condition)
    found = connection.execute(statement, {"chunk_ids": list(chunk_ids)})
    return {row[0]: row for row in found}


def _passage(row: Row[*tuple[Any, ...]], scores: Scores) -> Passage:
    (chunk_id, document_id, external_id, title, version, collection_id, text, page, start, end, path) = row[
        :11
    ]
    metadata, chunking, position = row[11:]
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
