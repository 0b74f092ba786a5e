"""Passages that look right and are not: beside the gold passage, and in its place.

The published recipe for this (RAFT, Zhang et al. 2024, arXiv:2403.10131) keeps the answer as the target
where the gold passage is taken out, so that the model learns it by heart. Here the target is then a
refusal: what the passages do not say is not to be said.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from random import Random

import numpy as np

from corpus.embedding import Embedder
from corpus.ids import chunk_public_id
from corpus.lexical_index import LexicalIndex
from posttrain.data.grounded import Grounded, grounded_of, refused, with_passages
from rag_service.answering.conversation import Record, SourcePassage, Split
from rag_service.evaluation.measures import contains_gold
from rag_service.retrieval.passages import Passage

_CANDIDATES = 24  # of which those that hold the answer fall out
_MOST_RETRIEVED = 100  # of which most may be of another split


@dataclass(frozen=True, slots=True)
class Distraction:
    """How many passages a record is to have at least and at most, and how many lose their gold one."""

    fewest: int = 5
    most: int = 5
    without_gold: float = 0.0
    seed: int = 0


class PassagePool:
    """All passages of a set of records, found by BM25 (the service's own lexical index).

    With an embedder they are also found by cosine, and the two rankings take turns.
    """

    def __init__(self, records: Iterable[Record], embedder: Embedder | None = None) -> None:
        passages: dict[str, SourcePassage] = {}
        for record in records:
            for message in record.messages:
                for part in message.parts:
                    passages |= {each.id: each for each in part.passages if each.id not in passages}
        self._passages = list(passages.values())
        texts = [f"{each.title}\n{each.text}" for each in self._passages]
        self._index = LexicalIndex()
        self._index.add(range(len(self._passages)), texts)
        self._index.commit()
        self._embedder = embedder
        self._vectors = embedder.embed_passages(texts) if embedder else None

    def near_misses(
        self, parts: Grounded, count: int, random: Random, *, besides: Sequence[str] = ()
    ) -> list[SourcePassage]:
        """Return the passages that match the question best, without its own and any that hold its answer.

        A passage that holds the answer by chance may be a second gold one; calling it a distractor
        would teach not to see it. None holds an answer of `besides` either. Where too few match, others
        are drawn.
        """
        own = {passage.id for passage in parts.passages}
        ranked = [self._passages[number] for number in self._ranked(parts, _CANDIDATES + count)]
        others = random.sample(self._passages, min(len(self._passages), _CANDIDATES))
        distinct = {each.id: each for each in (*ranked, *others) if each.id not in own}
        answers = (*parts.record.meta.gold, *besides)
        fitting = (each for each in distinct.values() if not _tells(each, answers))
        return list(islice(fitting, max(count, 0)))

    def _ranked(self, parts: Grounded, count: int) -> Iterator[int]:
        found = self._index.search(f"{parts.question} {parts.search.text}", count)
        lexical = [number for number, _ in found]
        if self._embedder is None or self._vectors is None:
            return iter(lexical)
        cosines = self._vectors @ self._embedder.embed_queries([parts.question])[0]
        dense = np.argsort(-cosines, kind="stable")[:count].tolist()
        both = zip_longest(lexical, dense)
        return (number for pair in both for number in pair if number is not None)


class RetrievedPool:
    """All passages of a collection, found by the service's own search, by vectors and words together.

    `split_of` tells of a passage on which side its document is; the near misses of a record are then of its
    own side.
    """

    def __init__(
        self, search: Callable[[str, int], Sequence[Passage]], split_of: Callable[[str], Split] | None = None
    ) -> None:
        """`search` returns that many passages for a question."""
        self._search = search
        self._split_of = split_of

    def near_misses(
        self, parts: Grounded, count: int, _random: Random, *, besides: Sequence[str] = ()
    ) -> list[SourcePassage]:
        """Return what is found for the question; see `PassagePool`. Where too little is, there are fewer."""
        own = {passage.id for passage in parts.passages}
        found = (
            SourcePassage(chunk_public_id(each.chunk_id), each.text, each.document_title)
            for each in self._search(
                parts.question, _MOST_RETRIEVED if self._split_of else _CANDIDATES + count
            )
            if self._split_of is None or self._split_of(each.document_title) == parts.record.split
        )
        answers = (*parts.record.meta.gold, *besides)
        fitting = (each for each in found if each.id not in own and not _tells(each, answers))
        return list(islice(fitting, max(count, 0)))


Pool = PassagePool | RetrievedPool


def pools_by_split(records: Sequence[Record], embedder: Embedder | None = None) -> dict[Split, PassagePool]:
    """Return a pool for each split: no passage that is evaluated on stands as near miss in training."""
    return {
        split: PassagePool((record for record in records if record.split == split), embedder)
        for split in dict.fromkeys(record.split for record in records)
    }


def distracted(
    records: Iterable[Record], pool: Pool | Mapping[Split, PassagePool], how: Distraction
) -> Iterator[Record]:
    """Yield each grounded record among near misses, the gold passage at a random place.

    `pool` is one for all or one for each split. A share of the answers loses its gold passage and becomes
    a refusal. Records of other shapes come out as they are. The same input and seed give the same records.
    """
    random = Random(how.seed)  # noqa: S311 - an order of data, no secret
    for record in records:
        parts = grounded_of(record)
        if parts is None:
            yield record
            continue
        count = random.randint(how.fewest, how.most)
        loses_gold = bool(parts.gold) and random.random() < how.without_gold
        kept = [] if loses_gold else list(parts.passages)
        own = pool if isinstance(pool, Pool) else pool[record.split]
        passages = kept + own.near_misses(parts, count - len(kept), random)
        random.shuffle(passages)
        if not loses_gold:
            yield with_passages(parts, passages)
        elif passages:
            yield refused(parts, passages, suffix="near-miss")


def _tells(passage: SourcePassage, answers: tuple[str, ...]) -> bool:
    return contains_gold(f"{passage.title} {passage.text}", answers)
