"""Whether a sum holds together: what is added is in one unit, and what comes out is what was asked for.

A small model computes with whatever numbers stand near: nine hours times 1,640 metres and 16 days. What tells
numbers apart is their dimension, read off the unit behind them in the passages or the question, "litres an
hour" with what it is divided by. A number before another word counts things, or is in a unit that is not
known here; one before no word, as in a table, may be anything.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Final

from rag_service.answering.calculator import as_tree
from rag_service.retrieval.numbers import WORD_BEHIND, placed_numbers, plain_number
from rag_service.retrieval.units import Quantity, Unit, quantity_of, unit_behind, unit_counted

# Units and their powers, sorted; nothing for a count.
Dimension = tuple[tuple[tuple[str, str], int], ...]
_COUNT: Final[Dimension] = ()
_ANY: Final[Dimension] = ((("any", ""), 1),)
_DATE: Final[Dimension] = ((("date", ""), 1),)
_YEARS: Final[Dimension] = ((("time", "year"), 1),)
_THING = "thing"
_SPEEDS = {"km/h": ("kilometre", "hour"), "kph": ("kilometre", "hour"), "mph": ("mile", "hour")}
_SPEEDS |= {"m/s": ("metre", "second"), "knot": ("nautical mile", "hour")}
_SPEED = re.compile(r"(\w+?)s? (?:per|an?) (\w+)")
# What a quantity may be made of, of other kinds, above the fraction bar.
_MADE_OF: Mapping[str, tuple[tuple[str, int], ...]] = {
    "area": (("length", 2),),
    "volume": (("length", 3),),
    "speed": (("length", 1),),
    "power": (("energy", 1),),
}
_CONSTANTS = ("2", "100")  # there and back, percent
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_WORD_BEHIND = re.compile(WORD_BEHIND, re.IGNORECASE)
_NUMBERED, _POINT = re.compile(r"(?:^|\n|[.!?:]\s)$"), re.compile(r"[.)]\s")
_MOST_KINDS, _MOST_POWER = 2, 3  # of a part of a sum; beyond, nobody means it
_MOST_NUMBERS = 16


def holds_together(sums: Sequence[tuple[str, str]], question: str, texts: Sequence[str]) -> bool:
    """Tell whether the dimensions of what was computed fit, and the last result is what is asked for.

    `sums` are expressions and their results, of which later ones may make use.

    Raises:
        CalculationError: one is no arithmetic.
    """
    kind, unit = quantity_of(question, texts), unit_counted(question)
    found = dimensions_of(sums, question, texts)
    return any(each == _ANY or (_is_one_thing(each) and _is_asked_for(each, kind, unit)) for each in found)


def dimensions_of(
    sums: Sequence[tuple[str, str]], question: str, texts: Sequence[str]
) -> frozenset[Dimension]:
    """Return the dimensions that the last result may have; none if the numbers do not fit each other.

    Raises:
        CalculationError: a sum is no arithmetic.
    """
    known: dict[str, set[Dimension]] = {number: {_COUNT} for number in _CONSTANTS}
    for text in texts:
        for number, dimensions in _dimensions_in(text):
            known.setdefault(number, set()).update(dimensions)
    for number, dimensions in _dimensions_in(question):
        measured = {each for each in dimensions if each == _COUNT or each[0][0][0] != _THING}
        # Three hats at 85 crowns: whatever the question counts, so many times.
        known.setdefault(number, set()).update(measured, (_COUNT,))
        known[number].discard(_ANY)
    found: set[Dimension] = {_COUNT}
    for expression, result in sums:
        tree = as_tree(expression)
        small = sum(isinstance(node, ast.Constant) for node in ast.walk(tree)) <= _MOST_NUMBERS
        found = _dimensions_of(tree, known) if small else set()
        known.setdefault(plain_number(result), set()).update(found)
    return frozenset(found)


def _is_one_thing(dimension: Dimension) -> bool:
    """Whether it is a count or one thing measured, perhaps of each of another; no hours times metres."""
    measured = [each for each in dimension if each[1] > 0]
    plain = all(power == 1 or kind == "length" for (kind, _), power in measured)
    return plain and len(measured) <= 1 and len(dimension) - len(measured) <= 1 and dimension != _DATE


def _is_asked_for(dimension: Dimension, kind: Quantity | None, unit: Unit | None) -> bool:
    """Whether it is of that kind and in that unit; where the unit is not known here, it may be."""
    measured = tuple(each for each in dimension if each[1] > 0)
    kinds = tuple((of, power) for (of, _), power in measured)
    if kind is None or kinds == ((_THING, 1),):
        return True
    same_unit = unit is None or measured == (((unit.kind, unit.name), 1),)
    return (kinds == ((kind, 1),) and same_unit) or kinds == _MADE_OF.get(kind)


def _dimensions_in(text: str) -> Iterator[tuple[str, set[Dimension]]]:
    for number, start, end in placed_numbers(text):
        if _NUMBERED.search(text, max(0, start - 2), start) and _POINT.match(text, end):
            continue  # "4. The winter crew" has no four of anything
        unit, by = unit_behind(text, start, end)
        word = _WORD_BEHIND.match(text, end)
        if unit:
            yield number, {_times(_of(unit), _of(by) if by else _COUNT, -1)}
        elif word:
            yield number, {_COUNT, (((_THING, word[0][1:].lower().removesuffix("s")), 1),)}
        elif not any(each.isdigit() for each in text[start:end]):
            yield number, {_COUNT}  # tables and prices have figures
        else:
            yield number, {_DATE if _YEAR.fullmatch(text[start:end]) else _ANY}


def _of(unit: Unit) -> Dimension:
    """Take a unit apart: kilometres an hour, square metres, kilowatts."""
    for kind, prefix, power in (("area", "square ", 2), ("volume", "cubic ", 3)):
        if unit.kind == kind and unit.name.startswith(prefix):
            return ((("length", unit.name.removeprefix(prefix)), power),)
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
    if isinstance(node.op, ast.Add | ast.Sub | ast.Mod):
        fitting = (left & right) | (left if _ANY in right else set()) | (right if _ANY in left else set())
        years = {_YEARS} if isinstance(node.op, ast.Sub) and _DATE in left & right else set()
        return fitting | years
    if isinstance(node.op, ast.Pow):
        return _to_the_power(left, node.right)
    sign = 1 if isinstance(node.op, ast.Mult) else -1
    found = {_times(one, other, sign) for one, other in product(left, right)}
    return {
        each for each in found if len(each) <= _MOST_KINDS and all(abs(p) <= _MOST_POWER for _, p in each)
    }


def _to_the_power(bases: set[Dimension], exponent: ast.expr) -> set[Dimension]:
    power = exponent.value if isinstance(exponent, ast.Constant) else None
    if not isinstance(power, int) or not 0 < power <= _MOST_POWER:
        return bases & {_COUNT, _ANY}
    return {tuple((unit, of * power) for unit, of in base) for base in bases}


def _times(one: Dimension, other: Dimension, sign: int) -> Dimension:
    if _ANY in (one, other) and _DATE not in (one, other):
        return _ANY
    powers = Counter(dict(one))
    for kind, power in other:
        powers[kind] += sign * power
    return tuple(sorted((kind, power) for kind, power in powers.items() if power))
