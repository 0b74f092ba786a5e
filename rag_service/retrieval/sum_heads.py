"""Which sum a question asks for, step by step, on an encoder's states of its numbers.

Each step chooses two numbers and what becomes of them; what comes out is a number that later steps may use
(Jie, Li and Lu 2022, "Learning to Reason Deductively", arXiv:2203.10316: the same steps, with fewer
operations and no reversed ones for differences, which are taken as positive).
"""

from enum import IntEnum
from fractions import Fraction

import torch
from torch import Tensor, nn

from rag_service.retrieval.quantities import CONSTANTS

WIDTH = 128
_IMPOSSIBLE = -1e4


class Operation(IntEnum):
    """What becomes of two numbers, the first of which stands further in front."""

    PLUS = 0
    DIFFERENCE = 1
    TIMES = 2
    OVER = 3
    UNDER = 4

    def of(self, first: Fraction, second: Fraction) -> Fraction | None:
        """Return what comes out; None where that is nothing, by nought."""
        match self:
            case Operation.PLUS:
                return first + second
            case Operation.DIFFERENCE:
                return abs(first - second)
            case Operation.TIMES:
                return first * second
            case Operation.OVER:
                return first / second if second else None
            case Operation.UNDER:
                return second / first if first else None


class SumHeads(nn.Module):
    """From states to scores; all rows of a batch have as many numbers as the longest, not all `there`."""

    def __init__(self, states: int, *, dropout: float = 0.0) -> None:
        """`states` is the encoder's width."""
        super().__init__()
        self.narrow = nn.Linear(states, WIDTH)
        self.constants = nn.Parameter(torch.randn(len(CONSTANTS), WIDTH) * 0.5)
        self.context = nn.Linear(states, WIDTH)
        self.operations = nn.ModuleList(_operation() for _ in Operation)
        self.score = nn.Linear(WIDTH, 2)  # of going on and of being done
        self.own = nn.Linear(WIDTH, 1)
        self.update = nn.GRUCell(WIDTH, WIDTH)
        self.dropout = nn.Dropout(dropout)

    def begin(self, numbers: Tensor, whole: Tensor) -> Tensor:
        """Return what the first step may use: (batch, constants + numbers, WIDTH).

        `numbers` are the states at the numbers, (batch, numbers, states), `whole` those of the first token.
        """
        constants = self.constants[None] + self.context(whole)[:, None]
        begun: Tensor = self.dropout(torch.cat([constants, self.narrow(numbers)], 1))
        return begun

    def pairs(self, usable: Tensor, there: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what comes of all pairs, their scores, and the places of both numbers.

        Shapes (batch, pairs, operations, WIDTH), (batch, pairs, operations, 2) and (2, pairs). A number may
        be used with itself, two constants may not.
        """
        places = torch.triu_indices(usable.shape[1], usable.shape[1])
        places = places[:, places[1] >= len(CONSTANTS)]
        first, second = usable[:, places[0]], usable[:, places[1]]
        both = torch.cat([first, second, first * second], -1)
        made = torch.stack([operation(both) for operation in self.operations], 2)
        own = self.own(usable)[..., 0]
        scores = self.score(made) + (own[:, places[0]] + own[:, places[1]])[:, :, None, None]
        possible = there[:, places[0]] & there[:, places[1]]
        return made, scores.masked_fill(~possible[:, :, None, None], _IMPOSSIBLE), places

    def add(self, usable: Tensor, made: Tensor) -> Tensor:
        """Return what the next step may use, with what came out, (batch, WIDTH), as the last."""
        batch, count, width = usable.shape
        news = made[:, None].expand(-1, count, -1).reshape(-1, width)
        known = self.update(news, usable.reshape(-1, width)).view(batch, count, width)
        return torch.cat([known, made[:, None]], 1)


def _operation() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3 * WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH))
