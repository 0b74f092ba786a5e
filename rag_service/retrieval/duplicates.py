"""Leaves out passages that say again, word for word, what a better one has said."""

import re
from collections.abc import Iterable, Iterator

from rag_service.retrieval.passages import Passage

SIMILARITY = 0.9  # Jaccard similarity of word triples from which two texts are one
_WORD = re.compile(r"\w+")
_TELLING = re.compile(r"\w*\d\w*|[^\W\d_a-z]\w+")


def without_near_duplicates(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Yield the passages in order, without those nearly equal to one already yielded.

    Nearly equal texts share nine tenths of their word triples (resemblance by shingles, Broder 1997)
    and have the same numbers and capitalised words in the same order: two price lists that differ in
    one price are two passages.
    """
    seen: list[tuple[tuple[str, ...], frozenset[tuple[str, ...]]]] = []
    for passage in passages:
        telling, triples = tuple(_TELLING.findall(passage.text)), _word_triples(passage.text)
        if any(telling == other and _jaccard(triples, known) >= SIMILARITY for other, known in seen):
            continue
        seen.append((telling, triples))
        yield passage


def _word_triples(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return frozenset(tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2)))


def _jaccard(left: frozenset[tuple[str, ...]], right: frozenset[tuple[str, ...]]) -> float:
    return len(left & right) / len(left | right)
