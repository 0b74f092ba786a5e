"""Search equals a plain computation over the database, whatever was added and deleted before."""

from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from corpus.chunks import embedded_text
from corpus.lexical_index import LexicalIndex
from corpus.models import Chunk, Document, Embedding
from corpus.vector_index.encoding import decode_vectors
from rag_service.retrieval.filters import Comparison
from rag_service.retrieval.fusion import fuse
from rag_service.retrieval.search import Mode
from tests.factories import migrated_database
from tests.integration.retrieval.shelf import Shelf

WORDS = ["fuel", "flour", "ship", "pump", "ice", "north", "red", "seven"]
# Each addition is a segment of its own, and tantivy merges from eight on. What is deleted from a merged one
# goes on counting in BM25's statistics until the next merge, which no reference foresees.
MOST_ADDITIONS = 7
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)
steps = st.lists(
    st.tuples(st.just("add"), texts, st.integers(0, 2))
    | st.tuples(st.just("delete"), st.integers(0, 9), st.none()),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps=steps, query=texts, year=st.none() | st.integers(0, 2), top_k=st.integers(1, 12))
def test_every_mode_equals_the_reference(
    steps: list[tuple[str, str | int, int | None]], query: str, year: int | None, top_k: int
) -> None:
    """Same chunks, same order, same scores, with and without a filter."""
    with TemporaryDirectory() as folder:
        shelf = Shelf(migrated_database(Path(folder)), Path(folder))
        shelf.follower.indexes(shelf.id)  # from now on it follows each step
        documents: list[str] = []
        additions = count()
        for kind, what, of_year in steps:
            if kind == "add":
                number = next(additions)
                # A number of its own keeps a text from being left out as a duplicate.
                if number < MOST_ADDITIONS:
                    documents.append(shelf.add(f"{what} {number}x", year=of_year))
            elif documents:
                shelf.delete(documents.pop(int(what) % len(documents)))
            shelf.follower.refresh()
        modes: list[Mode] = ["dense", "lexical", "hybrid"]
        for mode in modes:
            filters = None if year is None else Comparison("eq", "year", year)
            found = shelf.search(query, mode=mode, filters=filters, top_k=top_k).passages
            expected = reference(shelf, query, mode, year)
            assert [passage.scores.fused for passage in found] == pytest.approx(
                [score for _, score in expected[:top_k]], abs=1e-5
            )
            scores = dict(expected)
            assert all(scores[p.chunk_id] == pytest.approx(p.scores.fused, abs=1e-5) for p in found)
        shelf.database.close()


def reference(shelf: Shelf, query: str, mode: Mode, year: int | None) -> list[tuple[int, float]]:
    """Score every chunk that is there and passes the filter: cosines by numpy, BM25 by a fresh index."""
    with shelf.database.read() as session:
        rows = session.execute(
            select(
                Chunk.id, Document.title, Chunk.heading_path, Chunk.text, Embedding.vector, Document.metadata_
            )
            .join(Document, Document.id == Chunk.document_id)
            .join(Embedding, Embedding.chunk_id == Chunk.id)
        ).all()
    kept = {row[0] for row in rows if year is None or row[5]["year"] == year}
    vectors = decode_vectors([row[4] for row in rows], shelf.embedder.dimension)
    cosines = vectors @ shelf.embedder.embed_queries([query])[0] if rows else np.empty(0)
    dense = {row[0]: float(cosine) for row, cosine in zip(rows, cosines, strict=True) if row[0] in kept}
    index = LexicalIndex()
    index.add([row[0] for row in rows], [embedded_text(row[1], row[2], row[3]) for row in rows])
    index.commit()
    lexical = {each: score for each, score in index.search(query, 100) if each in kept}
    scores = {"dense": dense, "lexical": lexical, "hybrid": fuse(dense, lexical, texts=len(index))}[mode]
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
