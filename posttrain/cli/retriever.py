"""The service's retriever over a collection of RAG_DATA_DIR, for one command."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rag_service.cli.workplace import open_service

if TYPE_CHECKING:
    from corpus.embedding import Embedder
    from rag_service.retrieval.passages import Passage


@contextmanager
def opened_collection(name: str) -> "Iterator[tuple[Callable[[str, int], Sequence[Passage]], Embedder]]":
    """Yield a search for so many passages, as the service searches, and the embedder.

    The search raises CollectionNotFound where no collection has this name or id.
    """
    from rag_service.retrieval.search import SearchRequest

    with open_service() as service:
        embedder, retriever = service.embedder.make(), service.retriever.make()

        def search(question: str, count: int) -> "Sequence[Passage]":
            request = SearchRequest(question, (name,), top_k=count, candidates=2 * count)
            return retriever.search(request).passages

        yield search, embedder
