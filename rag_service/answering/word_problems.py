"""Sums of numbers that stand in the question: model and sum reader decide together which is computed."""

import re
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol

from rag_service.answering.calculator import CalculationError, calculate
from rag_service.answering.chat_model import LikelySum
from rag_service.answering.markers import Delta
from rag_service.answering.sums import MOST_STEPS, is_likeliest, known_numbers, used_numbers, weight_of
from rag_service.answering.tools import ToolCall
from rag_service.retrieval.quantities import Problem
from rag_service.retrieval.readings import ReadSum

_SPACES = re.compile(r"\s+")
_COUNTS = re.compile(r"\bhow (?:many|much)\b", re.IGNORECASE)


class Turn(Protocol):
    """One turn of the model, as `Writing.turn`."""

    def __call__(self, *, given: str = "") -> Generator[Delta | ToolCall]:
        """Yield what it brings, beginning with the sum that is given, if one is."""


class Likely(Protocol):
    """What the model would compute, as `Writing.likeliest_sums`."""

    def __call__(self, numbers: frozenset[str], *, most_steps: int) -> Iterator[LikelySum]:
        """Yield sums of these numbers, the likeliest first."""


def solve(
    question: str, earlier: Sequence[str], turn: Turn, likely: Likely, read_sum: ReadSum
) -> Iterator[Delta | ToolCall]:
    """Yield what a turn brings; where it begins with a sum, that is the likeliest for both.

    A turn that begins otherwise is as the model writes it, and so is what the sum reader can not judge: a sum
    that stands in the question as it is, one of numbers that `earlier` turns told, and one below nothing that
    is not how many or how much.
    """
    events = turn()
    first = next(events, None)
    if first is None:
        return
    results = read_sum(Problem.of(question)) if _is_to_be_judged(first, question, earlier) else ()
    if not results or not isinstance(first, ToolCall) or is_likeliest(results, first.output):
        yield first
        yield from events
        return
    events.close()
    weights: dict[str, float] = {}
    sums: dict[str, str] = {}
    for each in likely(known_numbers(question), most_steps=MOST_STEPS):
        try:
            result = calculate(each.text).result
        except CalculationError:
            continue
        if not result.startswith("-"):
            weights[result] = weights.get(result, 0.0) + weight_of(results, each, result)
            sums.setdefault(result, each.text)
    best = max(weights, key=weights.__getitem__, default="")
    yield from turn(given=sums.get(best, first.input))


def _is_to_be_judged(first: Delta | ToolCall, question: str, earlier: Sequence[str]) -> bool:
    if not isinstance(first, ToolCall) or first.tool != "calculate":
        return False
    if first.output.startswith("-") and not _COUNTS.search(question):
        return False
    if len(used_numbers([first])) > 1 and _SPACES.sub("", first.input) in _SPACES.sub("", question):
        return False
    not_asked = used_numbers([first]) - known_numbers(question)
    return not (not_asked and not_asked & known_numbers("", earlier))
