"""Joins the two rankings, dense and lexical, into one score a chunk."""

from collections.abc import Mapping

LEXICAL_WEIGHT = 0.4  # measured on development queries, see docs/decisions/0050-fusion.md


def fuse(dense: Mapping[int, float], lexical: Mapping[int, float]) -> dict[int, float]:
    """Return cosine plus weighted BM25 for every chunk that either ranking has.

    A sum of scores keeps what ranks alone throw away: by how much a chunk is better. BM25 has no upper
    bound, so it is divided by the best score that this query reached; its lower bound is 0, which a
    chunk without any word of the query has. Cosines are comparable from query to query as they are
    (the convex combination with theoretical minima of Bruch, Gai and Ingber, 2023, arXiv:2210.11934,
    section 4, with the cosine left unscaled).
    """
    best = max(lexical.values(), default=0.0) or 1.0
    return {
        each: dense.get(each, 0.0) + LEXICAL_WEIGHT * lexical.get(each, 0.0) / best
        for each in dense.keys() | lexical.keys()
    }
