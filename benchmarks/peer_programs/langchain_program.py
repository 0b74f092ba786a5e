"""LangChain: its FAISS store, and its ensemble (reciprocal ranks) with its BM25 retriever."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from langchain_classic.retrievers import EnsembleRetriever
from langchain_community.retrievers import BM25Retriever
from langchain_community.vectorstores import FAISS
from langchain_huggingface import HuggingFaceEmbeddings
from measuring import DEPTH, Program, measure, whole


class LangChain(Program):
    """Two retrievers over the same texts."""

    modes = ("dense", "hybrid")

    def __init__(self, model: str, _folder: Path) -> None:
        self._embed = HuggingFaceEmbeddings(model_name=model)
        self._embed.embed_query("to warm up")

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Make both."""
        whole_texts, notes = [whole(text) for text in texts], [{"key": key} for key in ids]
        store = FAISS.from_texts(whole_texts, self._embed, metadatas=notes)
        dense = store.as_retriever(search_kwargs={"k": DEPTH})
        words = BM25Retriever.from_texts(whole_texts, metadatas=notes)
        words.k = DEPTH
        both = EnsembleRetriever(retrievers=[dense, words], weights=[0.5, 0.5])
        self._retrievers = {"dense": dense, "hybrid": both}

    def search(self, mode: str, query: str) -> list[str]:
        """Return the best."""
        return [each.metadata["key"] for each in self._retrievers[mode].invoke(query)[:DEPTH]]


if __name__ == "__main__":
    measure(LangChain, ["langchain-community", "langchain-huggingface", "faiss-cpu", "sentence-transformers"])
