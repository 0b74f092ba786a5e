"""The calculator: one arithmetic expression, exact decimals, bounded in size and time.

Parsing and walking are simpleeval's, cut down to numbers, ``+ - * / // %`` and small powers; there
are no names, calls, attributes, strings or comparisons. Numbers are `decimal.Decimal`, taken from
the text as written, so that 0.1 + 0.2 is 0.3.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, DecimalException, localcontext

from simpleeval import InvalidExpression, SimpleEval

MAX_EXPRESSION = 200
MAX_EXPONENT = 100
MAX_DIGITS = 60
_WORKING_DIGITS = 80  # more than MAX_DIGITS: every product of two readable numbers is exact
_SHOWN_DIGITS = 15  # of a quotient that does not end
_CONTEXT = Context(prec=_WORKING_DIGITS, Emax=9999, Emin=-9999)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_PERCENT = re.compile(r"(\d)\s*%(?!\s*[\d(])")
_ALLOWED = re.compile(r"[0-9eE_.+\-*/%() ]+")
_SYMBOLS = str.maketrans({"\u00d7": "*", "·": "*", "÷": "/", "\u2212": "-", "\u2013": "-", "^": "**"})


class CalculationError(ValueError):
    """The expression is no arithmetic, or too large; the message says which."""


@dataclass(frozen=True, slots=True)
class Calculation:
    """An expression and its result as plain decimal text."""

    expression: str
    result: str


def calculate(expression: str) -> Calculation:
    """Evaluate one expression such as ``(1,250 + 3) * 12%``.

    A comma between thousands is dropped; a percent sign after a number divides it by 100; ``^`` is a
    power. A quotient that does not end is rounded to 15 significant digits.

    Raises:
        CalculationError: no arithmetic, division by zero, or too large.
    """
    source = _normalised(expression)
    with localcontext(_CONTEXT):
        try:
            tree = ast.parse(source, mode="eval").body
            value = _Arithmetic(source).eval(source, previously_parsed=tree)
        except (InvalidExpression, SyntaxError, RecursionError, MemoryError) as error:
            raise CalculationError(f"{expression!r} is no arithmetic that can be computed.") from error
        except DecimalException as error:
            raise CalculationError(f"{expression!r} divides by zero or has no bounds.") from error
        if not isinstance(value, Decimal) or not value.is_finite():
            raise CalculationError(f"{expression!r} is no arithmetic that can be computed.")
        return Calculation(expression.strip(), _shown(value))


def as_tree(expression: str) -> ast.expr:
    """Return the expression that `calculate` evaluates, parsed.

    Raises:
        CalculationError: it is none.
    """
    try:
        return ast.parse(_normalised(expression), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise CalculationError(f"{expression!r} is no arithmetic that can be computed.") from error


def _normalised(expression: str) -> str:
    if len(expression) > MAX_EXPRESSION:
        raise CalculationError(f"The expression is longer than {MAX_EXPRESSION} characters.")
    text = _THOUSANDS.sub("", expression.strip().translate(_SYMBOLS))
    text = _PERCENT.sub(r"\1/100", text)
    if not _ALLOWED.fullmatch(text):
        raise CalculationError(f"{expression!r} is no arithmetic: write numbers and + - * / % ( ) only.")
    return text


class _Arithmetic(SimpleEval):  # type: ignore[misc]  # simpleeval is not typed
    """simpleeval with decimals for numbers and nothing but arithmetic."""

    def __init__(self, source: str) -> None:
        super().__init__(operators=_OPERATORS, functions={}, names={})
        self._source = source
        self.nodes = {
            ast.Expr: self._eval_expr,
            ast.Constant: self._decimal,
            ast.UnaryOp: self._eval_unaryop,
            ast.BinOp: self._eval_binop,
        }

    def _decimal(self, node: ast.Constant) -> Decimal:
        """Read the number from the source: a float would already have lost digits."""
        text = ast.get_source_segment(self._source, node) or ""
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise CalculationError(f"{text} is no number.")
        return _bounded(Decimal(text))


def _bounded(value: Decimal) -> Decimal:
    if value and abs(value.adjusted()) > MAX_DIGITS:
        raise CalculationError(f"A number has more than {MAX_DIGITS} digits.")
    return value


def _power(base: Decimal, exponent: Decimal) -> Decimal:
    if abs(exponent) > MAX_EXPONENT:
        raise CalculationError(f"The exponent is above {MAX_EXPONENT}.")
    return _bounded(base**exponent)


def _checked(operation: Callable[[Decimal, Decimal], Decimal]) -> Callable[[Decimal, Decimal], Decimal]:
    return lambda left, right: _bounded(operation(left, right))


_OPERATORS = {
    ast.Add: _checked(Decimal.__add__),
    ast.Sub: _checked(Decimal.__sub__),
    ast.Mult: _checked(Decimal.__mul__),
    ast.Div: _checked(Decimal.__truediv__),
    ast.FloorDiv: _checked(Decimal.__floordiv__),
    ast.Mod: _checked(Decimal.__mod__),
    ast.Pow: _power,
    ast.USub: Decimal.__neg__,
    ast.UAdd: Decimal.__pos__,
}


def _shown(value: Decimal) -> str:
    """Write without exponent and trailing zeros; round only what does not end."""
    if len(value.as_tuple().digits) >= _WORKING_DIGITS:
        value = Context(prec=_SHOWN_DIGITS).plus(value)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text
