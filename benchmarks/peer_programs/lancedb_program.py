"""LanceDB: a table with its sentence-transformers function and words index, joined by reciprocal ranks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import lancedb
from lancedb.embeddings import get_registry
from lancedb.index import FTS
from lancedb.pydantic import LanceModel, Vector
from measuring import DEPTH, Program, measure, whole


class LanceDB(Program):
    """One table, searched exactly: it makes a vector index only when told to."""

    modes = ("dense", "hybrid")

    def __init__(self, model: str, folder: Path) -> None:
        embed = get_registry().get("sentence-transformers").create(name=model, device="cpu")
        dimension = embed.ndims()  # loads the model

        class Row(LanceModel):
            key: str
            text: str = embed.SourceField()
            vector: Vector(dimension) = embed.VectorField()  # type: ignore[valid-type]

        self._table = lancedb.connect(str(folder)).create_table("texts", schema=Row)

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Add all, then index the words."""
        self._table.add([{"key": key, "text": whole(text)} for key, text in zip(ids, texts, strict=True)])
        self._table.create_index("text", config=FTS())

    def search(self, mode: str, query: str) -> list[str]:
        """Return the best."""
        kind = "vector" if mode == "dense" else "hybrid"
        found = self._table.search(query, query_type=kind).select(["key"]).limit(DEPTH)
        return [each["key"] for each in found.to_list()]


if __name__ == "__main__":
    measure(LanceDB, ["lancedb", "sentence-transformers"])
