"""How well the service's own search ranks the documents of a retrieval set.

The set's documents must be in a collection, with the set's ids as external ids.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from corpus.embedding import Embedder
from corpus.follower import Follower
from rag_service.evaluation.beir import RetrievalSet, SetDocument, read_documents, read_retrieval_set
from rag_service.evaluation.loading import collection_of_set, workspace_database
from rag_service.evaluation.measures import Estimate, estimate
from rag_service.evaluation.ranking import ndcg, recall, reciprocal_rank
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.reranking import Rerank
from rag_service.retrieval.search import Mode, Retriever, SearchRequest

MODES: tuple[Mode, ...] = ("dense", "lexical", "hybrid")
DEPTH = 50  # documents that a ranking goes down to
CANDIDATES = 150  # chunks that each index offers; several may be of one document
_MEASURES: Mapping[str, Callable[[Sequence[str], Mapping[str, int]], float]] = {
    "nDCG@10": ndcg,
    "recall@10": recall,
    "recall@50": lambda ranking, judgements: recall(ranking, judgements, DEPTH),
    "MRR@10": reciprocal_rank,
}
Search = Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class RankingScores:
    """One way to search over all queries: means with 95% intervals, and each query's nDCG@10."""

    name: str
    measures: Mapping[str, Estimate]
    ndcg_by_query: Mapping[str, float]


def evaluate_folder(
    folder: Path,
    embedder: Embedder,
    workspace: Path,
    *,
    split: str = "test",
    modes: Iterable[Mode] = MODES,
    rerank: Rerank | None = None,
) -> tuple[RetrievalSet, tuple[RankingScores, ...]]:
    """Search a set in BEIR's layout, from a database of its own in `workspace`, and score the rankings.

    A database that an earlier call made there with the same embedder is used again. With `rerank` the hybrid
    search is scored a second time, its best passages read again.

    Raises:
        InvalidRequest: a file of the set is missing or does not fit.
    """
    retrieval_set = read_retrieval_set(folder, split)
    documents = read_documents(folder)
    with opened_set(folder.name, documents, embedder, workspace) as (retriever, collection):
        scores = evaluate_retrieval(retriever, retrieval_set, collection=collection, modes=modes)
    if rerank:
        with opened_set(folder.name, documents, embedder, workspace, rerank) as (retriever, collection):
            search = partial(rank, retriever, collection=collection, mode="hybrid")
            scores = (*scores, score_rankings("reranked", retrieval_set, search))
    return retrieval_set, scores


@contextmanager
def opened_set(
    name: str,
    documents: Iterable[SetDocument],
    embedder: Embedder,
    workspace: Path,
    rerank: Rerank | None = None,
) -> Iterator[tuple[Retriever, str]]:
    """Yield a retriever over a set, and its collection; `documents` are only read where it is new."""
    with workspace_database(workspace) as database:
        collection = collection_of_set(database, name, documents, embedder)
        yield Retriever(database, Follower(database, workspace), embedder, rerank=rerank), collection


def evaluate_retrieval(
    retriever: Retriever, retrieval_set: RetrievalSet, *, collection: str, modes: Iterable[Mode] = MODES
) -> tuple[RankingScores, ...]:
    """Search for every query in every mode and score the rankings of documents.

    Raises:
        CollectionNotFound, EmbedderMismatch: as `Retriever.search`.
    """
    return tuple(
        score_rankings(mode, retrieval_set, partial(rank, retriever, collection=collection, mode=mode))
        for mode in modes
    )


def rank(retriever: Retriever, query: str, *, collection: str, mode: Mode) -> list[str]:
    """Return the external ids of the documents, each at the place of its best passage."""
    passages = best_passages(retriever, query, collection=collection, mode=mode)
    return [passage.external_id or "" for passage in passages]


def best_passages(retriever: Retriever, query: str, *, collection: str, mode: Mode) -> tuple[Passage, ...]:
    """Return the best passage of each document, best first, as far down as rankings are judged.

    Raises:
        CollectionNotFound, EmbedderMismatch: as `Retriever.search`.
    """
    request = SearchRequest(
        query, (collection,), mode=mode, top_k=DEPTH, candidates=CANDIDATES, per_document=1
    )
    return tuple(retriever.search(request).passages)


def score_rankings(name: str, retrieval_set: RetrievalSet, search: Search) -> RankingScores:
    """Score any way to search: `search` returns documents' ids, best first."""
    values: dict[str, dict[str, float]] = {measure: {} for measure in _MEASURES}
    for each, query in retrieval_set.queries.items():
        ranking = search(query)
        for measure, compute in _MEASURES.items():
            values[measure][each] = compute(ranking, retrieval_set.judgements[each])
    means = {measure: estimate([(value, 1) for value in own.values()]) for measure, own in values.items()}
    return RankingScores(name, means, values["nDCG@10"])


def difference(first: RankingScores, second: RankingScores) -> Estimate:
    """Return by how much the first's nDCG@10 is above the second's, query by query."""
    pairs = [(first.ndcg_by_query[each] - second.ndcg_by_query[each], 1.0) for each in first.ndcg_by_query]
    return estimate(pairs)


def retrieval_report(retrieval_set: RetrievalSet, scores: Sequence[RankingScores]) -> str:
    """Return a table: a row a way to search, a column a measure, 95% intervals beside the means."""
    lines = [f"{retrieval_set.name}: {len(retrieval_set.queries)} queries"]
    lines.append(f"{'':<10}" + "".join(f"{measure:>26}" for measure in _MEASURES))
    for each in scores:
        cells = "".join(f"{_cell(each.measures[measure]):>26}" for measure in _MEASURES)
        lines.append(f"{each.name:<10}{cells}")
    *others, last = sorted(scores, key=lambda each: each.measures["nDCG@10"].value or 0.0)
    if others:
        gain = difference(last, others[-1])
        lines.append(f"{last.name} above {others[-1].name}, nDCG@10: {_cell(gain)}")
    return "\n".join(lines)


def retrieval_json(retrieval_set: RetrievalSet, scores: Sequence[RankingScores]) -> dict[str, object]:
    """Return the same as fields for JSON, with each query's nDCG@10."""
    return {
        "set": retrieval_set.name,
        "queries": len(retrieval_set.queries),
        "scores": [
            {
                "name": each.name,
                "measures": {
                    measure: {"value": found.value, "low": found.low, "high": found.high}
                    for measure, found in each.measures.items()
                },
                "ndcg_by_query": dict(each.ndcg_by_query),
            }
            for each in scores
        ],
    }


def _cell(found: Estimate) -> str:
    if found.value is None or found.low is None or found.high is None:
        return "-"
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
