"""Joins the two rankings, dense and lexical, into one score a chunk."""

from collections.abc import Mapping
from math import log

# Measured on development queries of four sets, see docs/decisions/0050-fusion.md.
LEXICAL_WEIGHT = 0.17
LEXICAL_LIMIT = 0.8


def fuse(dense: Mapping[int, float], lexical: Mapping[int, float], *, texts: int) -> dict[int, float]:
    """Return cosine plus weighted BM25 for every chunk that either ranking has.

    A sum of scores keeps what ranks alone throw away: by how much a chunk is better (Bruch, Gai and
    Ingber 2023, arXiv:2210.11934). Cosines are comparable from query to query as they are. A word that
    stands in one of `texts` indexed texts has a BM25 score of about the logarithm of their number, so
    divided by it BM25 counts how many such words match: a long query full of names leans on its words,
    a short one in common words on its meaning. The best chunk's words count `LEXICAL_LIMIT` at most, or
    a whole page as a query would be searched by words alone. A chunk that has no vector yet counts as
    near as the others are on average.
    """
    unknown = sum(dense.values()) / len(dense) if dense else 0.0
    best = max(lexical.values(), default=0.0)
    weight = LEXICAL_WEIGHT / log(2 + texts)
    if weight * best > LEXICAL_LIMIT:
        weight = LEXICAL_LIMIT / best
    return {
        each: dense.get(each, unknown) + weight * lexical.get(each, 0.0)
        for each in dense.keys() | lexical.keys()
    }
