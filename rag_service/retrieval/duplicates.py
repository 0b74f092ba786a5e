"""Leaves out passages that say again, word for word, what a better one has said."""

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest

from rag_service.retrieval.passages import Passage
from rag_service.retrieval.terms import composed

SIMILARITY = 0.9  # Jaccard similarity of word triples from which two texts are one
_WORD = re.compile(r"\w+")
# Words with a digit, and what others have from a capital on. Only where a word begins are digits looked for.
_TELLING = re.compile(r"\b[^\W\d]*+\d\w*+|[^\W\d_a-z]\w++")


def without_near_duplicates(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Yield the passages in order, without those nearly equal to one already yielded.

    Nearly equal texts share nine tenths of their word triples (resemblance by shingles, Broder 1997)
    and have the same numbers and capitalised words in the same order: two price lists that differ in
    one price are two passages.
    """
    seen: dict[str, list[str]] = {}  # texts by the first of their numbers and capitalised words
    for passage in passages:
        own = composed(passage.text)
        alike = seen.setdefault(next(_telling(own), ""), [])
        if not any(_resemble(own, text) for text in alike):
            alike.append(own)
            yield passage


def _telling(text: str) -> Iterator[str]:
    return (found[0] for found in _TELLING.finditer(text))


def _resemble(first: str, second: str) -> bool:
    # Nearly all texts differ in the first few, and are not read on.
    if any(one != other for one, other in zip_longest(_telling(first), _telling(second))):
        return False
    one, two = _word_triples(first), _word_triples(second)
    return len(one & two) / len(one | two) >= SIMILARITY


def _word_triples(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return frozenset(tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2)))
