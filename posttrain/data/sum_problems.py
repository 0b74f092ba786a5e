"""Sums as steps over the numbers of a question and its text: what the sum reader learns from.

A worked expression says which numbers it is made of only by their values; here they are found in the text
again, each once where it stands more than once.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from random import Random

from rag_service.answering.conversation import Record
from rag_service.retrieval.quantities import CONSTANTS, Problem, same
from rag_service.retrieval.sum_heads import Operation

_NOUGHTS = re.compile(r"(?<![\d.])0+(?=\d)")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)%")
_ROUNDING = Fraction(1, 50)  # of published answers
_OPERATIONS = {
    ast.Add: Operation.PLUS,
    ast.Sub: Operation.DIFFERENCE,
    ast.Mult: Operation.TIMES,
    ast.Div: Operation.OVER,
}
_TURNED = {Operation.OVER: Operation.UNDER, Operation.UNDER: Operation.OVER}


@dataclass(frozen=True, slots=True)
class Step:
    """`first` and `second` are places among `Problem.values` and the results of earlier steps, in order."""

    operation: Operation
    first: int
    second: int

    @classmethod
    def of(cls, operation: Operation, first: int, second: int) -> "Step":
        """A step whose first number stands further back is turned round."""
        if first <= second:
            return cls(operation, first, second)
        return cls(_TURNED.get(operation, operation), second, first)


@dataclass(frozen=True, slots=True)
class SolvedProblem:
    """A problem and its sum."""

    problem: Problem
    steps: tuple[Step, ...]

    @property
    def result(self) -> Fraction | None:
        """What comes out; None: something is divided by nought."""
        values = self.problem.values
        for step in self.steps:
            result = step.operation.of(values[step.first], values[step.second])
            if result is None:
                return None
            values.append(result)
        return values[-1]


def solved(record: Record) -> SolvedProblem | None:
    """Return a record's problem with its sum; None where the sum can not be told from its numbers."""
    parts = record.messages[-1].parts
    passages = [passage.text for part in parts for passage in part.passages]
    problem = Problem.of(record.messages[-2].text, "\n".join(passages))
    try:
        steps = steps_of(problem, [part.text for part in parts if part.type == "calculate"])
        found, answer = SolvedProblem(problem, steps), Fraction(record.meta.gold[0].replace(",", ""))
    except (_UnknownNumber, SyntaxError, ValueError):
        return None
    result = found.result if steps else None
    if result is None or abs(result - abs(answer)) > _ROUNDING * max(Fraction(1), abs(answer)):
        return None
    return found


def steps_of(problem: Problem, expressions: Sequence[str]) -> tuple[Step, ...]:
    """Return the steps of expressions, each of which may use the results of earlier ones.

    Raises:
        SyntaxError: one is no expression.
        ValueError: something is divided by nought, or is no arithmetic; or a number is not in the problem.
    """
    writer = _Writer(problem.values)
    for expression in expressions:
        plain = _PERCENT.sub(r"(\1/100)", expression.replace(",", "").replace("$", ""))
        tree = ast.parse(_NOUGHTS.sub("", plain), mode="eval").body
        if not isinstance(tree, ast.Constant):
            writer.write(tree)
    return writer.needed()


def beside(found: SolvedProblem, others: Sequence[str], random: Random) -> SolvedProblem | None:
    """Return the same problem among other texts, in any order; None: its numbers can not be told any more."""
    problem = found.problem
    texts = [problem.text, *others]
    order = random.sample(range(len(texts)), len(texts))
    own = len(problem.question) + 1 + sum(len(texts[place]) + 1 for place in order[: order.index(0)])
    among = Problem.of(problem.question, "\n".join(texts[place] for place in order))
    places = {(each.start, each.end): place for place, each in enumerate(among.quantities)}
    moved: dict[int, int] = {}
    for place, each in enumerate(problem.quantities):
        shift = own - len(problem.question) - 1 if each.start > len(problem.question) else 0
        now = places.get((each.start + shift, each.end + shift))
        if now is None:
            return None
        moved[len(CONSTANTS) + place] = len(CONSTANTS) + now
    more = len(among.quantities) - len(problem.quantities)

    def move(place: int) -> int:
        if place < len(CONSTANTS):
            return place
        return moved.get(place, place + more)

    return SolvedProblem(
        among, tuple(Step.of(step.operation, move(step.first), move(step.second)) for step in found.steps)
    )


class _UnknownNumber(ValueError):
    """A sum uses a number that the problem does not have."""


@dataclass
class _Writer:
    values: list[Fraction]  # of the problem, then of the steps

    steps: list[Step] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.given = len(self.values)

    def write(self, tree: ast.expr) -> int:
        """Write a tree's steps; return the place of its result."""
        match tree:
            case ast.Constant(value=int() | float() as value):
                return self._find(Fraction(str(value)))
            case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATIONS:
                return self._add(_OPERATIONS[type(sign)], self.write(left), self.write(right))
        raise ValueError(f"{ast.dump(tree)} is no sum.")

    def needed(self) -> tuple[Step, ...]:
        """Return the steps that lead to the last one."""
        wanted = {len(self.values) - 1}
        for number in reversed(range(len(self.steps))):
            if self.given + number in wanted:
                wanted |= {self.steps[number].first, self.steps[number].second}
        kept = [number for number in range(len(self.steps)) if self.given + number in wanted]
        now = {self.given + number: self.given + place for place, number in enumerate(kept)}
        return tuple(
            Step.of(step.operation, now.get(step.first, step.first), now.get(step.second, step.second))
            for step in (self.steps[number] for number in kept)
        )

    def _add(self, operation: Operation, first: int, second: int) -> int:
        step = Step.of(operation, first, second)
        result = step.operation.of(self.values[step.first], self.values[step.second])
        if result is None:
            raise ValueError("Nothing can be divided by nought.")
        self.used |= {first, second}
        self.steps.append(step)
        self.values.append(result)
        return len(self.values) - 1

    def _find(self, value: Fraction) -> int:
        """Return where a number stands: among unused results, in the text, among used ones, the constants."""
        results = range(len(self.values) - 1, self.given - 1, -1)
        told = range(len(CONSTANTS), self.given)
        places: list[int] = [
            *(place for place in results if place not in self.used),
            *(place for place in told if place not in self.used),
            *told,
            *results,
            *range(len(CONSTANTS)),
        ]
        for place in places:
            if same(self.values[place], value):
                return place
        raise _UnknownNumber(f"{value} stands nowhere in the problem.")
