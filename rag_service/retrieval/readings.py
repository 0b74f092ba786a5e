"""What a reader finds in passages: the likeliest answer, how likely, and how likely in each sentence."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag_service.retrieval.passages import Passage
from rag_service.retrieval.quantities import Problem, Results

MOST_MARGIN = 8.0  # beyond, a logit says no more
_LONGEST_ANSWER = 40  # tokens
_READ_AGAIN = 0.05  # what a reader's logit of 1 counts beside a fused score


@dataclass(frozen=True, slots=True)
class Found:
    """An answer in a text: how much likelier than none (a logit), and its characters."""

    margin: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader makes of one passage.

    `relevance` is the logit of the passage answering at all. `starts` and `ends` are the logits of an answer
    beginning and ending at each token of the text, less those of there being none; `spans` are the tokens'
    characters.
    """

    relevance: float
    spans: tuple[tuple[int, int], ...]
    starts: NDArray[np.float32]
    ends: NDArray[np.float32]

    def best(self, start: int = 0, end: int | None = None) -> Found | None:
        """Return the likeliest answer within these characters of the text; None: no token is there.

        Its margin is above 0 where it is likelier than that there is none.
        """
        inside = [n for n, (a, b) in enumerate(self.spans) if a >= start and (end is None or b <= end)]
        if not inside:
            return None
        low, high = inside[0], inside[-1] + 1
        sums = self.starts[low:high, None] + self.ends[None, low:high]
        every = np.ones_like(sums, dtype=bool)
        possible = np.triu(every) & ~np.triu(every, _LONGEST_ANSWER)
        first, last = divmod(int(np.where(possible, sums, -np.inf).argmax()), high - low)
        return Found(float(sums[first, last]) / 2, self.spans[low + first][0], self.spans[low + last][1])


def joined(windows: Sequence[Reading]) -> Reading:
    """Return the reading of a text from those of its windows, in order; what two have seen counts higher."""
    if len(windows) == 1:
        return windows[0]
    logits: dict[tuple[int, int], tuple[float, float]] = {}
    for window in windows:
        for span, start, end in zip(window.spans, window.starts, window.ends, strict=True):
            before = logits.get(span, (-np.inf, -np.inf))
            logits[span] = max(before[0], float(start)), max(before[1], float(end))
    edges = np.array(list(logits.values()), dtype=np.float32)
    return Reading(max(each.relevance for each in windows), tuple(logits), edges[:, 0], edges[:, 1])


Read = Callable[[str, Sequence[Passage]], Sequence[Reading]]  # a question and passages: a reading of each
ReadSum = Callable[[Problem], Results]


@dataclass(frozen=True, slots=True)
class Readers:
    """What reads passages one by one; what reads texts that are put together of several; what reads sums."""

    alone: Read
    together: Read | None = None
    sums: ReadSum | None = None


def as_reranker(read: Read) -> Callable[[str, Sequence[Passage]], Sequence[float]]:
    """Return, as `reranking.Rerank` wants it, what ranked a passage plus how much a reader thinks it answers.

    Alone a reader ranks no better than the search; together they do (benchmarks/RESULTS.md, "The reader").
    """

    def rerank(query: str, passages: Sequence[Passage]) -> Sequence[float]:
        readings = read(query, passages)
        judged = zip(passages, readings, strict=True)
        return [passage.scores.fused + _READ_AGAIN * answer_logit(reading) for passage, reading in judged]

    return rerank


def answer_logit(reading: Reading) -> float:
    """Return the mean of both of a reader's judgements of a passage, logits."""
    answer = reading.best()
    return (reading.relevance + (answer.margin if answer else -MOST_MARGIN)) / 2
