"""Widens passages by the chunks beside them, and joins what then touches."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from corpus.models import Chunk, DocumentVersion
from rag_service.retrieval.passages import Passage


@dataclass(frozen=True, slots=True)
class Stretch:
    """Chunks `first` to `last` of one document, by position; `rank` is that of its best passage."""

    rank: int
    document_id: str
    chunking: str
    first: int
    last: int


def expand_to_neighbours(session: Session, passages: Sequence[Passage]) -> list[Passage]:
    """Widen each passage by the chunk before and the chunk after it in its document.

    Passages of one document whose chunks then overlap or follow each other become one, at the rank
    and with the chunk id and the scores of the best of them. `session` must be the transaction that
    read the passages. Still ``content[start:end] == text``.
    """
    stretches = join_stretches(
        [
            Stretch(
                rank,
                passage.document_id,
                passage.chunking,
                max(0, passage.position - 1),
                passage.position + 1,
            )
            for rank, passage in enumerate(passages)
        ]
    )
    spans = _spans(session, stretches)
    return [
        _widened(session, passages[stretch.rank], *span)
        for stretch, span in zip(stretches, spans, strict=True)
    ]


def join_stretches(stretches: Sequence[Stretch]) -> list[Stretch]:
    """Join stretches of one document that overlap or follow each other; return them by rank."""
    documents: dict[tuple[str, str], list[Stretch]] = defaultdict(list)
    for stretch in stretches:
        documents[stretch.document_id, stretch.chunking].append(stretch)
    joined: list[Stretch] = []
    for own in documents.values():
        ordered = sorted(own, key=lambda stretch: stretch.first)
        current = ordered[0]
        for _, following in pairwise(ordered):
            if following.first > current.last + 1:
                joined.append(current)
                current = following
            else:
                rank = min(current.rank, following.rank)
                current = replace(current, rank=rank, last=max(current.last, following.last))
        joined.append(current)
    return sorted(joined, key=lambda stretch: stretch.rank)


def _spans(session: Session, stretches: Sequence[Stretch]) -> list[tuple[int, int, int | None]]:
    """Return each stretch's characters, from its first chunk's start to its last one's end, and its page."""
    wanted = [
        and_(
            Chunk.document_id == stretch.document_id,
            Chunk.chunking == stretch.chunking,
            Chunk.position.between(stretch.first, stretch.last),
        )
        for stretch in stretches
    ]
    columns = (Chunk.document_id, Chunk.chunking, Chunk.position, Chunk.start, Chunk.end, Chunk.page)
    rows = session.execute(select(*columns).where(or_(*wanted))).all() if wanted else []
    spans = []
    for stretch in stretches:
        own = [
            row
            for row in rows
            if (row.document_id, row.chunking) == (stretch.document_id, stretch.chunking)
            and stretch.first <= row.position <= stretch.last
        ]
        first = min(own, key=lambda row: row.start)
        spans.append((first.start, max(row.end for row in own), first.page))
    return spans


def _widened(session: Session, passage: Passage, start: int, end: int, page: int | None) -> Passage:
    if (start, end) == (passage.start, passage.end):
        return passage
    content = select(func.substr(DocumentVersion.text, start + 1, end - start)).where(
        DocumentVersion.document_id == passage.document_id,
        DocumentVersion.version == passage.document_version,
    )
    return replace(passage, start=start, end=end, page=page, text=session.execute(content).scalar_one())
