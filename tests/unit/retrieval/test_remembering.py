"""What an embedder remembers."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rag_service.retrieval.remembering import RememberingEmbedder
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
    cache = RememberingEmbedder(embedder)
    assert np.array_equal(cache.embed_queries(["a"]), cache.embed_queries(["a"]))
    assert embedder.queries == ["a"]


def test_the_least_recently_used_query_is_forgotten() -> None:
    """Of a, b, a, c a cache of two keeps a and c."""
    embedder = CountingEmbedder()
    cache = RememberingEmbedder(embedder, capacity=2)
    for query in "abacab":
        cache.embed_queries([query])
    assert embedder.queries == ["a", "b", "c", "b"]


def test_mixed_lists_come_back_in_order() -> None:
    """Remembered and new texts, one of them twice, give the same vectors as the embedder alone."""
    cache = RememberingEmbedder(FakeEmbedder())
    cache.embed_passages(["b"])
    assert np.array_equal(cache.embed_passages(list("abca")), FakeEmbedder().embed_passages(list("abca")))
    assert cache.embed_passages([]).shape == (0, 32)
