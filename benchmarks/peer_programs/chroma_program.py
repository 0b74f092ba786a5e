"""Chroma: a collection on disk with its sentence-transformers function; local Chroma has no hybrid search."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import chromadb
from chromadb.utils.embedding_functions import SentenceTransformerEmbeddingFunction
from measuring import DEPTH, Program, measure, whole


class Chroma(Program):
    """One collection."""

    modes = ("dense",)

    def __init__(self, model: str, folder: Path) -> None:
        self._client = chromadb.PersistentClient(
            path=str(folder), settings=chromadb.Settings(anonymized_telemetry=False)
        )
        embed = SentenceTransformerEmbeddingFunction(model_name=model)
        embed(["to warm up"])
        self._collection = self._client.create_collection(
            "texts",
            embedding_function=embed,
            configuration={"hnsw": {"space": "cosine"}},
        )

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Add as many at a time as it takes."""
        size = self._client.get_max_batch_size()
        for start in range(0, len(ids), size):
            block = slice(start, start + size)
            self._collection.add(ids=list(ids[block]), documents=[whole(text) for text in texts[block]])

    def search(self, mode: str, query: str) -> list[str]:  # noqa: ARG002 - it has one mode
        """Return the best."""
        found: list[str] = self._collection.query(query_texts=[query], n_results=DEPTH)["ids"][0]
        return found


if __name__ == "__main__":
    measure(Chroma, ["chromadb", "sentence-transformers"])
