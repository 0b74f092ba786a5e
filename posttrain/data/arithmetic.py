"""Importers of arithmetic: worked solutions become calculator calls with their results."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from posttrain.data.files import Json
from posttrain.data.reading import Source, split_of
from rag_service.answering.calculator import CalculationError, calculate
from rag_service.answering.conversation import Meta, Part, Record, assistant, user

GSM8K = Source("GSM8K", "MIT")
MAWPS = Source("MAWPS", "MIT")
_ANNOTATION = re.compile(r"<<([^<>=]+)=([^<>]+)>>")
_PLACEHOLDER = re.compile(r"\bnumber(\d+)\b")
_TOLERANCE = Decimal("0.01")


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
        question = _fill(row["Question"], values)
        expression = infix(row["Equation"].split(), values)
        answer = _plain(row["Answer"])
        if expression is None or not computes(expression, answer):
            continue
        yield Record(
            id=f"mawps-{number}",
            task="calculate",
            split=split_of(question),
            messages=(
                user(re.sub(r"\s+([.,?!])", r"\1", question)),
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
