"""Whether a sum holds together: what is added is of one kind, and what comes out is what was asked for.

A small model computes with whatever numbers stand near: nine hours times 1,640 metres and 16 days. What tells
numbers apart is their dimension, read off the unit behind them in the passages or the question, "litres an
hour" with what it is divided by; hours and minutes are not added either. A number before another word counts
things; one before no word, as in a table, may be anything.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from rag_service.answering.calculator import as_tree
from rag_service.retrieval.numbers import placed_numbers, plain_number
from rag_service.retrieval.units import Quantity, Unit, quantity_of, unit_behind, unit_counted

# Units and their powers, sorted; nothing for a count.
Dimension = tuple[tuple[tuple[str, str], int], ...]
_COUNT: Final[Dimension] = ()
_ANY: Final[Dimension] = ((("any", ""), 1),)
_DATE: Final[Dimension] = ((("date", ""), 1),)
_SPEEDS = {"km/h": ("kilometre", "hour"), "kph": ("kilometre", "hour"), "mph": ("mile", "hour")}
_SPEEDS |= {"m/s": ("metre", "second"), "knot": ("nautical mile", "hour")}
_SPEED = re.compile(r"(\w+?)s? (?:per|an?) (\w+)")
# What a quantity is made of, as far as a question's wish is concerned: its kinds above the fraction bar.
_MADE_OF: Mapping[str, tuple[tuple[str, int], ...]] = {
    "area": (("length", 2),),
    "speed": (("length", 1),),
    "power": (("energy", 1),),
}
_CONSTANTS = ("2", "100")  # there and back, percent
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_WORD_BEHIND = re.compile(r"[\s-]\w")


def holds_together(sums: Sequence[tuple[str, str]], question: str, texts: Sequence[str]) -> bool:
    """Tell whether the dimensions of what was computed fit, and the last result is what is asked for.

    `sums` are expressions and their results, of which later ones may make use.

    Raises:
        CalculationError: one is no arithmetic.
    """
    known: dict[str, set[Dimension]] = {number: {_COUNT} for number in _CONSTANTS}
    for text in (question, *texts):
        for number, dimension in _dimensions_in(text):
            known.setdefault(number, set()).add(dimension)
    for number, _, _ in placed_numbers(question):
        known[number].add(_COUNT)  # three hats at 85 crowns: so many times
    found = {_COUNT}
    for expression, result in sums:
        found = _dimensions_of(as_tree(expression), known)
        known.setdefault(plain_number(result), set()).update(found)
    kind, unit = quantity_of(question, texts), unit_counted(question)
    return any(each == _ANY or (_is_one_thing(each) and _is_asked_for(each, kind, unit)) for each in found)


def _is_one_thing(dimension: Dimension) -> bool:
    """Whether it is a count or one thing measured, perhaps of each of another; no hours times metres."""
    measured = [each for each in dimension if each[1] > 0]
    plain = all(power == 1 or kind == "length" for (kind, _), power in measured)
    return plain and len(measured) <= 1 and len(dimension) - len(measured) <= 1 and dimension != _DATE


def _is_asked_for(dimension: Dimension, kind: Quantity | None, unit: Unit | None) -> bool:
    if kind is None:
        return True
    measured = tuple(each for each in dimension if each[1] > 0)
    kinds = tuple((of, power) for (of, _), power in measured)
    same_unit = unit is None or unit.kind in _MADE_OF or measured == (((unit.kind, unit.name), 1),)
    return kinds in {((kind, 1),), _MADE_OF.get(kind)} and same_unit


def _dimensions_in(text: str) -> Iterator[tuple[str, Dimension]]:
    for number, start, end in placed_numbers(text):
        unit, by = unit_behind(text, start, end)
        if unit:
            yield number, _times(_of(unit), _of(by) if by else _COUNT, -1)
        elif _YEAR.fullmatch(text[start:end]):
            yield number, _DATE
        else:
            yield number, _COUNT if _WORD_BEHIND.match(text, end) else _ANY


def _of(unit: Unit) -> Dimension:
    """Take a unit apart: kilometres an hour, square metres, kilowatts."""
    if unit.kind == "area" and unit.name.startswith("square "):
        return ((("length", unit.name.removeprefix("square ")), 2),)
    if unit.kind == "speed" and (parts := _SPEEDS.get(unit.name) or _parts_of_speed(unit.name)):
        return ((("length", parts[0]), 1), (("time", parts[1]), -1))
    if unit.kind == "power" and unit.name.endswith("watt"):
        return ((("energy", f"{unit.name} hour"), 1), (("time", "hour"), -1))
    return (((unit.kind, unit.name), 1),)


def _parts_of_speed(name: str) -> tuple[str, str] | None:
    match = _SPEED.fullmatch(name)
    return (match[1], match[2]) if match else None


def _dimensions_of(node: ast.expr, known: Mapping[str, set[Dimension]]) -> set[Dimension]:
    if isinstance(node, ast.UnaryOp):
        return _dimensions_of(node.operand, known)
    if not isinstance(node, ast.BinOp):
        return known.get(plain_number(ast.unparse(node)), {_COUNT})
    left, right = _dimensions_of(node.left, known), _dimensions_of(node.right, known)
    if isinstance(node.op, ast.Sub) and _DATE in left & right:
        return {((("time", "year"), 1),)}
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mod):
        return (left & right) | (left if _ANY in right else set()) | (right if _ANY in left else set())
    sign = 1 if isinstance(node.op, ast.Mult) else -1
    return {_times(one, other, sign) for one, other in product(left, right)}


def _times(one: Dimension, other: Dimension, sign: int) -> Dimension:
    if _ANY in (one, other):
        return _ANY
    powers = Counter(dict(one))
    for kind, power in other:
        powers[kind] += sign * power
    return tuple(sorted((kind, power) for kind, power in powers.items() if power))
