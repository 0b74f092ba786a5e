"""LlamaIndex: its index over FAISS, and its fusion (reciprocal ranks) with its BM25 retriever."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import faiss
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.llms import MockLLM
from llama_index.core.retrievers import QueryFusionRetriever
from llama_index.core.schema import TextNode
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from llama_index.retrievers.bm25 import BM25Retriever
from llama_index.vector_stores.faiss import FaissVectorStore
from measuring import DEPTH, Program, measure, whole


class LlamaIndex(Program):
    """Two retrievers over the same texts."""

    modes = ("dense", "hybrid")

    def __init__(self, model: str, _folder: Path) -> None:
        self._embed = HuggingFaceEmbedding(model_name=model)
        self._dimension = len(self._embed.get_query_embedding("to warm up"))

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Make both."""
        nodes = [TextNode(id_=key, text=whole(text)) for key, text in zip(ids, texts, strict=True)]
        store = FaissVectorStore(faiss_index=faiss.IndexFlatIP(self._dimension))
        storage = StorageContext.from_defaults(vector_store=store)
        index = VectorStoreIndex(nodes, storage_context=storage, embed_model=self._embed)
        dense = index.as_retriever(similarity_top_k=DEPTH)
        words = BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=DEPTH)
        both = QueryFusionRetriever(
            [dense, words],
            llm=MockLLM(),  # it wants one, and asks it nothing for a single query
            mode="reciprocal_rerank",
            num_queries=1,
            similarity_top_k=DEPTH,
            use_async=False,
        )
        self._retrievers = {"dense": dense, "hybrid": both}

    def search(self, mode: str, query: str) -> list[str]:
        """Return the best."""
        return [each.node.node_id for each in self._retrievers[mode].retrieve(query)]


if __name__ == "__main__":
    measure(LlamaIndex, ["llama-index-core", "faiss-cpu", "sentence-transformers"])
