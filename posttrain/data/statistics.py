"""What a set of records holds, and whether it leaks into what is evaluated on."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from rag_service.answering.conversation import Record

SHINGLE_WORDS = 13  # the length of overlap that GPT-3 (Brown et al. 2020, appendix C) calls a leak
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Statistics:
    """Counts of a set; lengths are words of all turns."""

    records: int
    by_task: dict[str, int]
    by_split: dict[str, int]
    by_source: dict[str, int]
    median_words: int
    longest_words: int
    refusal_share: float
    duplicates: int


def describe(records: Iterable[Record]) -> Statistics:
    """Count; a duplicate is a record whose turns' words were all seen before, in the same order."""
    lengths: list[int] = []
    tasks, splits, sources = Counter[str](), Counter[str](), Counter[str]()
    seen: set[bytes] = set()
    for record in records:
        words = list(_words(record))
        lengths.append(len(words))
        tasks[record.task] += 1
        splits[record.split] += 1
        sources[record.meta.source] += 1
        seen.add(blake2b(" ".join(words).encode(), digest_size=16).digest())
    count = len(lengths)
    refusals = tasks["rag_refuse"] + tasks["probe_refuse"]
    return Statistics(
        records=count,
        by_task=dict(tasks.most_common()),
        by_split=dict(splits.most_common()),
        by_source=dict(sources.most_common()),
        median_words=sorted(lengths)[count // 2] if count else 0,
        longest_words=max(lengths, default=0),
        refusal_share=refusals / count if count else 0.0,
        duplicates=count - len(seen),
    )


class Shingles:
    """The runs of 13 words of an evaluation set, to find them again in training records."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._hashes = {hash_ for text in texts for hash_ in _shingles(text)}

    def leaks(self, records: Iterable[Record]) -> Iterator[Record]:
        """Yield the records that share a run of 13 words with the evaluation set."""
        for record in records:
            if any(hash_ in self._hashes for hash_ in _shingles(" ".join(_words(record)))):
                yield record


def texts_of(record: Record) -> Iterator[str]:
    """Yield every text of a record: turns, searches and passages."""
    for message in record.messages:
        for part in message.parts:
            yield part.text
            yield from (passage.text for passage in part.passages)


def _words(record: Record) -> Iterator[str]:
    for text in texts_of(record):
        yield from _WORD.findall(text.lower())


def _shingles(text: str) -> Iterator[int]:
    words = _WORD.findall(text.lower())
    for start in range(len(words) - SHINGLE_WORDS + 1):
        yield hash(tuple(words[start : start + SHINGLE_WORDS]))
