"""A collection whose documents come, change and go as the indexer would write them."""

from pathlib import Path

import numpy as np
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from corpus.chunks import embedded_text
from corpus.collections import active_generation, create_collection
from corpus.database import Database
from corpus.ids import new_id
from corpus.models import (
    ActiveGeneration,
    Chunk,
    Document,
    Embedding,
    Generation,
    Tombstone,
    last_change_number,
    next_change_number,
)
from corpus.vector_index.encoding import decode_vectors, encode_vector
from corpus.vector_index.generation_files import write_base
from tests.fakes import FakeEmbedder

EMBEDDER = FakeEmbedder(dimension=16)


class Library:
    """One collection; `texts` are one document's chunks, each call is one transaction."""

    def __init__(self, database: Database, generations_dir: Path, embedder: FakeEmbedder = EMBEDDER) -> None:
        self.database = database
        self.generations_dir = generations_dir
        self.embedder = embedder
        self.documents: list[str] = []
        with database.write() as session:
            self.id = create_collection(session, name=new_id("doc"), embedder=embedder).id

    def add(self, *texts: str, embedded: bool = True) -> str:
        """Add a document."""
        document_id = new_id("doc")
        with self.database.write() as session:
            session.add(
                Document(
                    id=document_id,
                    collection_id=self.id,
                    status="ready",
                    version=1,
                    title="Report",
                    media_type="text/plain",
                    sha256="0" * 64,
                )
            )
            session.flush()
            self._save_chunks(session, document_id, texts, embedded=embedded)
        self.documents.append(document_id)
        return document_id

    def replace(self, document_id: str, *texts: str) -> None:
        """Put new chunks in place of a document's old ones."""
        with self.database.write() as session:
            self._bury(session, document_id)
            self._save_chunks(session, document_id, texts)

    def delete(self, document_id: str) -> None:
        """Delete a document."""
        with self.database.write() as session:
            self._bury(session, document_id)
            session.execute(delete(Document).where(Document.id == document_id))
        self.documents.remove(document_id)

    def embed_missing(self) -> None:
        """Embed the chunks that have no vector yet."""
        with self.database.write() as session:
            missing = session.scalars(
                select(Chunk).outerjoin(Embedding).where(Embedding.chunk_id.is_(None), self._own_chunks())
            ).all()
            number = next_change_number(session)
            session.add_all(self._embedding(chunk, number) for chunk in missing)

    def retitle(self, document_id: str, title: str) -> None:
        """Change a title; the chunks are stamped anew, for it stands in their indexed text."""
        with self.database.write() as session:
            number = next_change_number(session)
            session.get_one(Document, document_id).title = title
            for chunk in session.scalars(select(Chunk).where(Chunk.document_id == document_id)):
                chunk.change_number = number

    def compact(self, *, prune: bool = True) -> str:
        """Fold tail and tombstones into a new generation's base and let it serve."""
        with self.database.write() as session:
            former = active_generation(session, self.id)
            vectors = self._vectors(session, former.chunking)
            generation = Generation(
                id=new_id("gen"),
                collection_id=self.id,
                embedder=former.embedder,
                dimension=former.dimension,
                chunking=former.chunking,
                state="active",
                change_number=last_change_number(session),
                vector_count=len(vectors),
            )
            write_base(
                self.generations_dir / generation.id,
                np.array(list(vectors), dtype=np.int64),
                np.array(list(vectors.values()), dtype=np.float32).reshape(-1, former.dimension),
                embedder=former.embedder,
                chunking=former.chunking,
                change_number=generation.change_number,
            )
            self._promote(session, generation)
            if prune:
                session.execute(delete(Tombstone).where(Tombstone.collection_id == self.id))
        return generation.id

    def recut(self) -> str:
        """Let an empty generation of another chunking serve, its chunks being the old ones in capitals."""
        with self.database.write() as session:
            former = active_generation(session, self.id)
            chunks = session.scalars(
                select(Chunk).where(Chunk.chunking == former.chunking, self._own_chunks())
            ).all()
            generation = Generation(
                id=new_id("gen"),
                collection_id=self.id,
                embedder=former.embedder,
                dimension=former.dimension,
                chunking=f"recut{former.chunking}",
                state="active",
            )
            number = next_change_number(session)
            for chunk in chunks:
                self._save_chunk(session, chunk.document_id, generation.chunking, chunk.text.upper(), number)
            self._promote(session, generation)
        return generation.id

    def texts(self) -> dict[int, str]:
        """Return what the lexical index should hold."""
        with self.database.read() as session:
            rows = session.execute(
                select(Chunk.id, Document.title, Chunk.heading_path, Chunk.text)
                .join(Document)
                .where(self._own_chunks(), Chunk.chunking == active_generation(session, self.id).chunking)
            )
            return {number: embedded_text(title, path, text) for number, title, path, text in rows}

    def vectors(self) -> dict[int, np.ndarray]:
        """Return what the vector index should hold."""
        with self.database.read() as session:
            return self._vectors(session, active_generation(session, self.id).chunking)

    def _vectors(self, session: Session, chunking: str) -> dict[int, np.ndarray]:
        rows = session.execute(
            select(Embedding.chunk_id, Embedding.vector)
            .join(Chunk)
            .where(self._own_chunks(), Chunk.chunking == chunking)
        ).all()
        vectors = decode_vectors([vector for _, vector in rows], self.embedder.dimension)
        return {number: vector for (number, _), vector in zip(rows, vectors, strict=True)}

    def _own_chunks(self) -> object:
        return Chunk.collection_id == self.id

    def _bury(self, session: Session, document_id: str) -> None:
        number = next_change_number(session)
        for chunk_id in session.scalars(select(Chunk.id).where(Chunk.document_id == document_id)):
            session.add(Tombstone(chunk_id=chunk_id, collection_id=self.id, change_number=number))
        session.flush()
        session.execute(delete(Chunk).where(Chunk.document_id == document_id))

    def _save_chunks(
        self, session: Session, document_id: str, texts: tuple[str, ...], *, embedded: bool = True
    ) -> None:
        number = next_change_number(session)
        chunking = active_generation(session, self.id).chunking
        for text in texts:
            self._save_chunk(session, document_id, chunking, text, number, embedded=embedded)

    def _save_chunk(
        self,
        session: Session,
        document_id: str,
        chunking: str,
        text: str,
        number: int,
        *,
        embedded: bool = True,
    ) -> None:
        same = select(Chunk.position).where(Chunk.document_id == document_id, Chunk.chunking == chunking)
        chunk = Chunk(
            document_id=document_id,
            collection_id=self.id,
            chunking=chunking,
            position=len(session.scalars(same).all()),
            start=0,
            end=len(text),
            heading_path=["Stores"],
            text=text,
            token_count=len(text.split()),
            change_number=number,
        )
        session.add(chunk)
        session.flush()
        if embedded:
            session.add(self._embedding(chunk, number))
            session.flush()

    def _embedding(self, chunk: Chunk, number: int) -> Embedding:
        return Embedding(
            chunk_id=chunk.id,
            embedder=self.embedder.id,
            collection_id=self.id,
            vector=encode_vector(self.embedder.embed_passages([chunk.text])[0]),
            change_number=number,
        )

    def _promote(self, session: Session, generation: Generation) -> None:
        next_change_number(session)
        session.add(generation)
        session.flush()
        session.get_one(ActiveGeneration, self.id).generation_id = generation.id
