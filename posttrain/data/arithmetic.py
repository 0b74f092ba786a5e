"""Importers of arithmetic: worked solutions become calculator calls with their results."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from random import Random

from posttrain.data.files import Json
from posttrain.data.reading import Source, split_of
from rag_service.answering.calculator import CalculationError, calculate
from rag_service.answering.conversation import Meta, Part, Record, Split, assistant, user

GSM8K = Source("GSM8K", "MIT")
MAWPS = Source("MAWPS", "MIT")
_ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>]+)>>")
_PLACEHOLDER = re.compile(r"\bnumber(\d+)\b")
_TOLERANCE = Decimal("0.01")
_TRIES = 30
_LONGEST_RESULT = 8  # characters


def import_gsm8k(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Turn each ``<<48/2=24>>`` into a calculator call and its result; ``#### 24`` into the answer.

    A solution with an annotation that does not compute is left out.
    """
    for number, row in enumerate(rows):
        question, solution = str(row["question"]), str(row["answer"])
        steps, _, answer = solution.partition("\n#### ")
        parts = solution_parts(steps)
        if parts is None:
            continue
        yield Record(
            id=f"gsm8k-{number}",
            task="calculate",
            split=split_of(question),
            messages=(user(question), assistant(*parts, f"\nThe answer is {answer.strip()}.")),
            meta=Meta(gold=(answer.strip(),), source=GSM8K.name, license=GSM8K.license),
        )


def solution_parts(steps: str) -> list[Part] | None:
    """Return text and calculator parts of an annotated solution; None if an annotation is wrong."""
    parts: list[Part] = []
    end = 0
    for match in _ANNOTATION.finditer(steps):
        expression, result = match.group(1).strip(), match.group(2).strip()
        if not computes(expression, result):
            return None
        if text := steps[end : match.start()]:
            parts.append(Part("text", text))
        parts += [Part("calculate", expression), Part("calculate_result", result)]
        end = match.end()
    if text := steps[end:]:
        parts.append(Part("text", text))
    return parts


def import_mawps(rows: Iterable[dict[str, str]]) -> Iterator[Record]:
    """Read MAWPS rows: placeholders in the question, numbers beside it, the equation in prefix form."""
    for number, row in enumerate(rows):
        values = [_plain(value) for value in row["Numbers"].split()]
        expression = infix(row["Equation"].split(), values)
        answer = _plain(row["Answer"])
        if expression is not None and computes(expression, answer):
            yield _problem(f"mawps-{number}", row["Question"], values, expression, answer)


def renumbered_mawps(rows: Iterable[dict[str, str]], *, times: int, seed: int = 0) -> Iterator[Record]:
    """Yield MAWPS's problems with other numbers, each up to `times` times: what stays is which sum it is.

    Numbers keep their digits before and behind the point, and their order, but 0 and 1, which are said as
    words are; the result stays above, below or at nothing, and whole if it was. A problem that is held back,
    with whatever numbers, has no forms to train on.
    """
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    every = list(rows)
    held = {row["Question"] for row in every if _split(row) != "train"}
    for number, row in enumerate(every):
        if row["Question"] in held and _split(row) == "train":
            continue
        old = [_plain(value) for value in row["Numbers"].split()]
        first, was = infix(row["Equation"].split(), old), _plain(row["Answer"])
        if first is None or not computes(first, was):
            continue
        for turn in range(times):
            if drawn := _renumbered(row["Equation"].split(), old, was, random):
                made = _problem(f"mawps-{number}-{turn}", row["Question"], *drawn)
                yield replace(made, split=_split(row))


def _split(row: Mapping[str, str]) -> Split:
    return split_of(_fill(row["Question"], [_plain(value) for value in row["Numbers"].split()]))


def _renumbered(
    equation: list[str], old: list[str], was: str, random: Random
) -> tuple[list[str], str, str] | None:
    """Return other numbers, their expression and its result; None if none are found that fit."""
    order = _order(old)
    for _ in range(_TRIES):
        values = [_other(value, random) for value in old]
        expression = infix(equation, values)
        if expression is None or values == old or _order(values) != order:
            continue
        try:
            result = calculate(expression).result
        except CalculationError:
            continue
        same_sign = _sign(result) == _sign(was)
        whole = "." not in result or "." in was
        if same_sign and whole and len(result) <= _LONGEST_RESULT:
            return values, expression, result
    return None


def _order(values: list[str]) -> list[int]:
    """Return each number's rank; equal ones have the same."""
    distinct = sorted({Decimal(value) for value in values})
    return [distinct.index(Decimal(value)) for value in values]


def _sign(value: str) -> int:
    return (Decimal(value) > 0) - (Decimal(value) < 0)


def _other(value: str, random: Random) -> str:
    """Return a number of as many digits; small ones, of which there are few, of the same size."""
    whole, _, behind = value.partition(".")
    least = 2 if len(whole) == 1 else 10 ** (len(whole) - 1)
    drawn = whole if whole in {"0", "1"} else str(random.randint(least, 10 ** len(whole) - 1))
    return f"{drawn}.{''.join(random.choices('123456789', k=len(behind)))}" if behind else drawn


def _problem(number: str, question: str, values: list[str], expression: str, answer: str) -> Record:
    asked = _fill(question, values)
    return Record(
        id=number,
        task="calculate",
        split=split_of(asked),
        messages=(
            user(re.sub(r"\s+([.,?!])", r"\1", asked)),
            assistant(
                Part("calculate", expression),
                Part("calculate_result", answer),
                f"The answer is {answer}.",
            ),
        ),
        meta=Meta(gold=(answer,), source=MAWPS.name, license=MAWPS.license),
    )


def reasoned(record: Record) -> Record:
    """Return the record with everything before its last words as reasoning, which readers do not see.

    Calculator calls and results stay where they are, between the steps.
    """
    last = record.messages[-1]
    *steps, answer = last.parts
    thought = [replace(part, type="reasoning") if part.type == "text" else part for part in steps]
    spoken = replace(answer, text=answer.text.lstrip())
    return replace(
        record, id=f"{record.id}-reasoned", messages=(*record.messages[:-1], assistant(*thought, spoken))
    )


def computes(expression: str, result: str) -> bool:
    """Tell whether the service's calculator gives this result, up to the data's own rounding."""
    try:
        value = Decimal(calculate(expression).result)
        return abs(value - Decimal(result.replace(",", ""))) <= _TOLERANCE
    except (CalculationError, InvalidOperation):
        return False


def _fill(text: str, values: list[str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values[int(match.group(1))], text)


def infix(prefix: list[str], values: list[str]) -> str | None:
    """Turn ``+ number0 number2`` into ``139+131``; None if it is no such formula."""
    stack: list[str] = []
    for symbol in reversed(prefix):
        if symbol in {"+", "-", "*", "/"}:
            if len(stack) < 2:  # noqa: PLR2004 - an operator has two operands
                return None
            left, right = stack.pop(), stack.pop()
            stack.append(f"({left}{symbol}{right})")
        else:
            match = _PLACEHOLDER.fullmatch(symbol)
            stack.append(values[int(match.group(1))] if match else _plain(symbol))
    if len(stack) != 1:
        return None
    return stack[0].removeprefix("(").removesuffix(")") if stack[0].startswith("(") else stack[0]


def _plain(value: str) -> str:
    """``8.0`` is how the data writes 8."""
    return value.removesuffix(".0")
