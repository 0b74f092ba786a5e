"""txtai: its hybrid index (BM25 and vectors, equal weights), with the texts stored."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring import DEPTH, Program, measure, whole
from txtai import Embeddings


class Txtai(Program):
    """One index; a dense search gives the words no weight."""

    modes = ("dense", "hybrid")

    def __init__(self, model: str, _folder: Path) -> None:
        self._embeddings = Embeddings(path=model, hybrid=True, content=True)

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Index all."""
        self._embeddings.index((key, whole(text), None) for key, text in zip(ids, texts, strict=True))

    def search(self, mode: str, query: str) -> list[str]:
        """Return the best."""
        weights = 1.0 if mode == "dense" else 0.5
        return [each["id"] for each in self._embeddings.search(query, DEPTH, weights=weights)]


if __name__ == "__main__":
    measure(Txtai, ["txtai", "faiss-cpu", "sentence-transformers"])
