"""Passages of a collection, as they are searched."""

from random import Random

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.collections import active_generation, find_collection
from corpus.models import Chunk, Document
from rag_service.answering.conversation import SourcePassage

_FEWEST_WORDS = 12  # a shorter chunk is a heading or a remainder


def collection_passages(
    session: Session, name_or_id: str, *, limit: int | None = None, seed: int = 0
) -> list[SourcePassage]:
    """Return a collection's chunks, in a random order that is the same every time.

    Raises:
        CollectionNotFound: no collection has this name or id.
    """
    collection = find_collection(session, name_or_id)
    chunking = active_generation(session, collection.id).chunking
    rows = session.execute(
        select(Chunk.id, Chunk.text, Document.title)
        .join(Document, Chunk.document_id == Document.id)
        .where(Chunk.collection_id == collection.id, Chunk.chunking == chunking)
        .order_by(Chunk.id)
    )
    passages = [
        SourcePassage(f"chk_{number}", text, title)
        for number, text, title in rows
        if len(text.split()) >= _FEWEST_WORDS
    ]
    Random(seed).shuffle(passages)  # noqa: S311 - an order of data, no secret
    return passages[:limit]
