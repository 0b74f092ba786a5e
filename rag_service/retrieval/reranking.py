"""A second look at the best passages by a model that reads them together with the query.

The two indexes compare vectors and words that were made without knowing the query. A cross-encoder reads both
as one text (Nogueira and Cho 2019, arXiv:1901.04085), which ranks better and costs a forward pass a passage:
so only the head of the ranking is read again. Off by default (`RAG_RERANKER`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from corpus.errors import ModelError
from rag_service.retrieval.passages import Passage

Rerank = Callable[[str, Sequence[Passage]], Sequence[float]]  # a query and passages: the better, the higher
READ_AGAIN = 20  # passages


def load_reranker(folder: Path) -> Rerank:
    """Return the scores of a sentence-transformers `CrossEncoder` from its folder.

    A passage is read with its title and headings before it.

    Raises:
        ModelError: the folder holds no such model, or one that gives several scores.
    """
    from sentence_transformers import CrossEncoder  # noqa: PLC0415 - seconds to import, seldom wanted

    try:
        model = CrossEncoder(str(folder), local_files_only=True, device="cpu")
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"RAG_RERANKER: {folder} holds no cross-encoder ({error}).") from error
    if model.num_labels != 1:
        raise ModelError(f"RAG_RERANKER: {folder} gives {model.num_labels} scores a pair; one is needed.")

    def rerank(query: str, passages: Sequence[Passage]) -> Sequence[float]:
        pairs = [(query, f"{passage.full_title}\n{passage.text}") for passage in passages]
        scores: list[float] = model.predict(pairs, show_progress_bar=False).tolist()
        return scores

    return rerank
