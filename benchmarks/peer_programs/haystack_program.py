"""Haystack: its store in memory, BM25 and vectors, joined by reciprocal ranks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from haystack import Document
from haystack.components.joiners import DocumentJoiner
from haystack.components.retrievers import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from measuring import DEPTH, Program, measure, whole


class Haystack(Program):
    """Components, called one after the other as a pipeline would."""

    modes = ("dense", "hybrid")

    def __init__(self, model: str, _folder: Path) -> None:
        self._store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        self._embed_passages = SentenceTransformersDocumentEmbedder(model=model, progress_bar=False)
        self._embed_query = SentenceTransformersTextEmbedder(model=model, progress_bar=False)
        self._embed_passages.warm_up()
        self._embed_query.warm_up()
        self._dense = InMemoryEmbeddingRetriever(self._store, top_k=DEPTH)
        self._words = InMemoryBM25Retriever(self._store, top_k=DEPTH)
        self._join = DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=DEPTH)

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Embed and write all."""
        documents = [
            Document(content=whole(text), meta={"key": key}) for key, text in zip(ids, texts, strict=True)
        ]
        self._store.write_documents(self._embed_passages.run(documents)["documents"])

    def search(self, mode: str, query: str) -> list[str]:
        """Return the best."""
        vector = self._embed_query.run(query)["embedding"]
        found = self._dense.run(vector)["documents"]
        if mode == "hybrid":
            found = self._join.run([found, self._words.run(query)["documents"]])["documents"]
        return [each.meta["key"] for each in found]


if __name__ == "__main__":
    measure(Haystack, ["haystack-ai", "sentence-transformers-haystack", "sentence-transformers"])
