"""Leaves out passages that say again, word for word, what a better one has said."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from rag_service.retrieval.passages import Passage
from rag_service.retrieval.terms import composed

SIMILARITY = 0.9  # Jaccard similarity of word triples from which two texts are one
_FIRST = 2  # tell nearly all texts apart, and are found without reading on
_WORD = re.compile(r"\w+")
# Words with a digit, and what others have from a capital on. Only where a word begins are digits looked for.
_TELLING = re.compile(r"\b[^\W\d]*+\d\w*+|[^\W\d_a-z]\w++")


def without_near_duplicates(passages: Iterable[Passage]) -> Iterator[Passage]:
    """Yield the passages in order, without those nearly equal to one already yielded.

    Nearly equal texts share nine tenths of their word triples (resemblance by shingles, Broder 1997)
    and have the same numbers and capitalised words in the same order: two price lists that differ in
    one price are two passages.
    """
    seen: dict[tuple[str, ...], list[str]] = {}  # texts by the first of their numbers and capitalised words
    for passage in passages:
        own = composed(passage.text)
        first = (found[0] for found in islice(_TELLING.finditer(own), _FIRST))
        alike = seen.setdefault(tuple(first), [])
        if not any(_resemble(own, text) for text in alike):
            alike.append(own)
            yield passage


def _resemble(first: str, second: str) -> bool:
    if _TELLING.findall(first) != _TELLING.findall(second):
        return False
    one, two = _word_triples(first), _word_triples(second)
    return len(one & two) / len(one | two) >= SIMILARITY


def _word_triples(text: str) -> frozenset[tuple[str, ...]]:
    words = _WORD.findall(text.casefold())
    return frozenset(tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2)))
