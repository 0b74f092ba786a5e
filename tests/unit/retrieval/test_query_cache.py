"""The cache of query vectors."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag_service.retrieval.query_cache import QueryCache
from tests.fakes import FakeEmbedder


class CountingEmbedder(FakeEmbedder):
    """Remembers which queries it embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.queries: list[str] = []

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed and remember."""
        self.queries += texts
        return super().embed_queries(texts)


def test_a_query_asked_again_is_not_embedded_again() -> None:
    """The second vector is the first one."""
    embedder = CountingEmbedder()
    cache = QueryCache(embedder)
    assert np.array_equal(cache.embed("a"), cache.embed("a"))
    assert embedder.queries == ["a"]


def test_the_least_recently_used_query_is_forgotten() -> None:
    """Of a, b, a, c a cache of two keeps a and c."""
    embedder = CountingEmbedder()
    cache = QueryCache(embedder, capacity=2)
    for query in "abacab":
        cache.embed(query)
    assert embedder.queries == ["a", "b", "c", "b"]
