"""Adding to a generation what it lacks: chunks of texts that are there, vectors of chunks that are there.

Documents that arrive while a generation is built bring theirs themselves (`indexer.targets`). Whatever
is added here may have been added, replaced or deleted by others meanwhile: the transaction looks again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from corpus.chunks import Chunking, ParsedDocument, embedded_text
from corpus.collections import keep_collections
from corpus.embedding import Embedder
from corpus.models import Chunk, Document, DocumentVersion, Embedding, Generation, next_change_number
from indexer.chunking import split_into_chunks
from indexer.generations import find_generation, uncut_documents, unembedded_chunks
from indexer.ingest import Workbench, embed_in_turns
from indexer.saving import ChunkSet, embedding_row, insert_chunks, kept_document

_DOCUMENTS_AT_ONCE = 16
_CHUNKS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class _Text:
    """A ready document as it was read; `version` and `title` tell later whether it still is that."""

    document_id: str
    version: int
    title: str
    parsed: ParsedDocument


@dataclass(frozen=True, slots=True)
class _Passage:
    """A chunk without its vector, as the embedder gets it."""

    chunk_id: int
    document_id: str
    text: str


def catch_up(bench: Workbench, generation_id: str) -> int:
    """Add a few of the missing chunks or vectors; return how many documents or chunks got theirs, 0: none.

    Raises:
        EmbedderMismatch, ModelError: the generation's embedder is not here.
    """
    with bench.database.read() as session:
        generation = find_generation(session, generation_id)
        texts = _uncut(session, generation)
        passages = [] if texts else _unembedded(session, generation)
    embedder = bench.find_embedder(generation.embedder, generation.embedder_source)
    if texts:
        _cut(bench, generation, texts, embedder)
    elif passages:
        _embed(bench, generation, passages, embedder)
    return len(texts) or len(passages)


def _uncut(session: Session, generation: Generation) -> list[_Text]:
    rows = session.execute(
        select(Document.title, Document.media_type, DocumentVersion)
        .join(
            DocumentVersion,
            (DocumentVersion.document_id == Document.id) & (DocumentVersion.state == "current"),
        )
        .where(uncut_documents(generation))
        .order_by(Document.id)
        .limit(_DOCUMENTS_AT_ONCE)
    )
    return [
        _Text(version.document_id, version.version, title, kept_document(version, media_type))
        for title, media_type, version in rows
    ]


def _unembedded(session: Session, generation: Generation) -> list[_Passage]:
    rows = session.execute(
        select(Chunk.id, Chunk.document_id, Chunk.heading_path, Chunk.text, Document.title)
        .join(Document, Document.id == Chunk.document_id)
        .where(unembedded_chunks(generation))
        .order_by(Chunk.id)
        .limit(_CHUNKS_AT_ONCE)
    )
    return [
        _Passage(chunk_id, document_id, embedded_text(title, path, text))
        for chunk_id, document_id, path, text, title in rows
    ]


def _cut(bench: Workbench, generation: Generation, texts: Sequence[_Text], embedder: Embedder) -> None:
    chunking = Chunking.from_key(generation.chunking)
    for text in texts:
        spans = split_into_chunks(
            text.parsed,
            title=text.title,
            token_spans=embedder.token_spans,
            max_tokens=chunking.max_tokens,
            overlap=chunking.overlap,
        )
        passages = [embedded_text(text.title, span.heading_path, span.text) for span in spans]
        vectors = embed_in_turns(embedder, passages, bench.turns, urgent=False, pause=bench.pause)
        chunks = ChunkSet(
            text.document_id, generation.collection_id, generation.chunking, spans, {embedder.id: vectors}
        )
        with bench.database.write() as session:
            keep_collections(session, [generation.collection_id])
            if _is_still(session, text, generation):
                insert_chunks(session, [chunks], next_change_number(session))


def _is_still(session: Session, text: _Text, generation: Generation) -> bool:
    """Lock a document; tell whether it is what was read, and still has no chunks of this chunking."""
    # First the lock: a statement that has waited for it sees other tables as they were before.
    session.execute(select(Document.id).where(Document.id == text.document_id).with_for_update())
    same = select(Document.id).where(
        uncut_documents(generation),
        Document.id == text.document_id,
        Document.version == text.version,
        Document.title == text.title,
    )
    return session.scalar(same) is not None


def _embed(
    bench: Workbench, generation: Generation, passages: Sequence[_Passage], embedder: Embedder
) -> None:
    vectors = embed_in_turns(
        embedder, [passage.text for passage in passages], bench.turns, urgent=False, pause=bench.pause
    )
    with bench.database.write() as session:
        keep_collections(session, [generation.collection_id])
        _lock_documents(session, {passage.document_id for passage in passages})
        wanted = set(
            session.scalars(
                select(Chunk.id).where(
                    unembedded_chunks(generation), Chunk.id.in_([passage.chunk_id for passage in passages])
                )
            )
        )
        if not wanted:
            return
        number = next_change_number(session)
        pairs = zip((passage.chunk_id for passage in passages), vectors, strict=True)
        rows = [
            embedding_row(pair, embedder.id, generation.collection_id, number)
            for pair in pairs
            if pair[0] in wanted
        ]
        session.execute(insert(Embedding), rows)


def _lock_documents(session: Session, document_ids: set[str]) -> None:
    """Hold off deletions and replacements; before the change number, as those do."""
    statement = select(Document.id).where(Document.id.in_(document_ids)).order_by(Document.id)
    session.execute(statement.with_for_update(read=True, key_share=True))
