"""The likeliest sums that a model would write, of numbers that are given.

A model that draws its sums shows the same few most of the time, seldom what it thinks second and third, and
much that is of numbers that stand nowhere. Here its own probabilities are searched, the likeliest beginning
first (uniform-cost search: a token costs the negative logarithm of its probability, so that sums come out in
order), over the tokens that may go on with a sum of the given numbers. The probabilities are not made
to add up to one over these: a beginning is worth no more than the model gave it.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from torch import Tensor

from rag_service.answering.chat_model import LikelySum

LONGEST = 64  # characters of a sum
_MOST_NUMBERS = 8
_LEAST = 6.0  # a beginning whose negative logarithm is above is left out: one of 400
_SYMBOL = re.compile(r"[\d.]+|[-+*/()]")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
OF_SUMS = re.compile(r"[\d.+*/()-]+")

NextLogProbabilities = Callable[[Sequence[int]], Tensor]  # of the token after these, shape (vocabulary,)


@dataclass(order=True, slots=True)
class _Begun:
    cost: float
    order: int
    ids: tuple[int, ...] = field(compare=False)
    text: str = field(compare=False)
    whole: bool = field(compare=False, default=False)


def likeliest_sums(
    after: NextLogProbabilities,
    pieces: Mapping[int, str],
    end: int,
    numbers: frozenset[str],
    *,
    most_steps: int,
) -> Iterator[LikelySum]:
    """Yield sums of two and more of `numbers`, the likeliest first, until `most_steps` tokens were looked at.

    `pieces` are the tokens that sums are written with, `end` is the one that closes a sum. A number may be
    used more than once; a text that can be made of tokens in several ways counts in its likeliest one.
    """
    numbers = frozenset(each for each in numbers if _NUMBER.fullmatch(each))
    order, found = count(), set[str]()
    waiting = [_Begun(0.0, next(order), (), "")]
    steps = 0
    while waiting:
        best = heappop(waiting)
        if best.whole:
            if best.text not in found:
                found.add(best.text)
                yield LikelySum(best.text, -best.cost)
            continue
        if steps >= most_steps:
            continue  # what is whole already may still come out
        steps += 1
        logs = after(best.ids)
        if is_whole(best.text, numbers):
            cost = best.cost - float(logs[end])
            heappush(waiting, _Begun(cost, next(order), best.ids, best.text, whole=True))
        for piece, text in pieces.items():
            cost = best.cost - float(logs[piece])
            if cost < _LEAST and may_begin(best.text + text, numbers):
                heappush(waiting, _Begun(cost, next(order), (*best.ids, piece), best.text + text))


def may_begin(text: str, numbers: frozenset[str]) -> bool:
    """Tell whether a sum of these numbers may begin so."""
    return len(text) <= LONGEST and _state(text, numbers) is not None


def is_whole(text: str, numbers: frozenset[str]) -> bool:
    """Tell whether it is such a sum: two numbers or more, and every bracket closed."""
    state = _state(text, numbers)
    return state is not None and state.after_number and state.depth == 0 and state.count > 1


@dataclass(frozen=True, slots=True)
class _State:
    after_number: bool
    depth: int
    count: int


def _state(text: str, numbers: frozenset[str]) -> _State | None:
    """Where a sum stands that begins so; None: it is none."""
    after_number, depth, used = False, 0, 0
    symbols = _SYMBOL.findall(text)
    for place, symbol in enumerate(symbols, start=1):
        if symbol[0].isdigit() or symbol[0] == ".":
            whole = symbol in numbers
            begun = place == len(symbols) and any(each.startswith(symbol) for each in numbers)
            if after_number or not (whole or begun):
                return None
            after_number, used = whole, used + 1
            if not whole:
                return _State(after_number=False, depth=depth, count=used) if used <= _MOST_NUMBERS else None
        elif symbol == "(":
            if after_number:
                return None
            depth += 1
        elif symbol == ")":
            if not after_number or depth == 0:
                return None
            depth -= 1
        elif after_number:
            after_number = False
        else:
            return None
    return _State(after_number, depth, used) if used <= _MOST_NUMBERS else None
