"""Measures of rankings against graded judgements, one query at a time."""

from collections.abc import Mapping, Sequence
from math import log2


def ndcg(ranking: Sequence[str], judgements: Mapping[str, int], k: int = 10) -> float:
    """Return the normalised discounted cumulative gain of the first k.

    Gains are the grades themselves, discounted by log2(rank + 1), divided by the best possible sum
    (Järvelin and Kekäläinen 2002; what trec_eval calls ndcg_cut and BEIR reports). Documents that were
    not judged gain nothing. 0 where nothing is relevant.
    """
    best = _discounted(sorted(judgements.values(), reverse=True)[:k])
    return _discounted([judgements.get(each, 0) for each in ranking[:k]]) / best if best else 0.0


def recall(ranking: Sequence[str], judgements: Mapping[str, int], k: int = 10) -> float:
    """Return the share of the relevant documents that is among the first k; 0 where there are none."""
    relevant = _relevant(judgements)
    return len(relevant.intersection(ranking[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranking: Sequence[str], judgements: Mapping[str, int], k: int = 10) -> float:
    """Return 1 divided by the rank of the first relevant document, 0 where none is among the first k."""
    relevant = _relevant(judgements)
    return next((1 / rank for rank, each in enumerate(ranking[:k], start=1) if each in relevant), 0.0)


def _discounted(gains: Sequence[int]) -> float:
    return sum(max(gain, 0) / log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def _relevant(judgements: Mapping[str, int]) -> set[str]:
    return {each for each, grade in judgements.items() if grade > 0}
