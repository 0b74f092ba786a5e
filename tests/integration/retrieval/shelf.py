"""A collection filled by hand: texts cut at blank lines, as the indexer would store them."""

import re
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from corpus.collections import active_generation, create_collection
from corpus.database import Database
from corpus.follower import Follower
from corpus.ids import new_id
from corpus.models import Chunk, Document, DocumentVersion, Embedding, Tombstone, next_change_number
from corpus.vector_index.encoding import encode_vector
from rag_service.retrieval.search import Retriever, SearchRequest, SearchResult
from tests.fakes import FakeEmbedder


class Shelf:
    """One collection and a retriever over it; each call that changes it is one transaction."""

    def __init__(self, database: Database, folder: Path, name: str = "default", **parts: Any) -> None:  # noqa: ANN401 - a follower and an embedder to share
        self.database = database
        self.embedder: FakeEmbedder = parts.get("embedder") or FakeEmbedder(dimension=48)
        self.follower: Follower = parts.get("follower") or Follower(database, folder)
        self.retriever = Retriever(database, self.follower, self.embedder)
        with database.write() as session:
            collection = create_collection(session, name=name, embedder=self.embedder)
            self.id, self.name = collection.id, collection.name

    def add(self, text: str, *, title: str = "", embedded: bool = True, **metadata: object) -> str:
        """Add a document; its chunks are its paragraphs. Return its id."""
        document_id = new_id("doc")
        with self.database.write() as session:
            session.add(
                Document(
                    id=document_id,
                    collection_id=self.id,
                    external_id=f"x-{document_id}",
                    status="ready",
                    version=1,
                    title=title,
                    media_type="text/plain",
                    sha256="0" * 64,
                    metadata_=metadata,
                )
            )
            session.flush()
            session.add(
                DocumentVersion(
                    document_id=document_id,
                    version=1,
                    collection_id=self.id,
                    state="failed",  # only that lets two documents of a test have the same bytes
                    sha256="0" * 64,
                    text=text,
                )
            )
            number = next_change_number(session)
            chunking = active_generation(session, self.id).chunking
            for position, match in enumerate(re.finditer(r"\S(?:.|\n(?!\n))*", text)):
                chunk = Chunk(
                    document_id=document_id,
                    collection_id=self.id,
                    chunking=chunking,
                    position=position,
                    start=match.start(),
                    end=match.end(),
                    page=position + 1,
                    heading_path=["Part"],
                    text=match[0],
                    token_count=len(match[0].split()),
                    change_number=number,
                )
                session.add(chunk)
                session.flush()
                if embedded:
                    session.add(self._embedding(chunk, number))
        return document_id

    def delete(self, document_id: str) -> None:
        """Delete a document."""
        with self.database.write() as session:
            number = next_change_number(session)
            for chunk_id in session.scalars(select(Chunk.id).where(Chunk.document_id == document_id)):
                session.add(Tombstone(chunk_id=chunk_id, collection_id=self.id, change_number=number))
            session.execute(delete(Document).where(Document.id == document_id))

    def search(self, query: str, **options: Any) -> SearchResult:  # noqa: ANN401 - fields of SearchRequest
        """Search this collection."""
        return self.retriever.search(SearchRequest(query, **{"collections": (self.name,), **options}))

    def found(self, query: str, **options: Any) -> list[str]:  # noqa: ANN401 - same
        """Return the texts that a search finds, best first."""
        return [passage.text for passage in self.search(query, **options).passages]

    def _embedding(self, chunk: Chunk, number: int) -> Embedding:
        vector = encode_vector(self.embedder.embed_passages([chunk.text])[0])
        return Embedding(
            chunk_id=chunk.id,
            embedder=self.embedder.id,
            collection_id=self.id,
            vector=vector,
            change_number=number,
        )
