"""The numbers of a question and of what it is asked about, as the sum reader reads them.

A row is ``[CLS] question [SEP] text [SEP]`` with one mark in the place of each number: which sum is asked
for does not depend on how large its numbers are (Jie et al. 2022, arXiv:2203.10316, section 3).
"""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

from corpus.errors import ModelError
from corpus.sentences import sentence_spans
from corpus.text import encodable
from corpus.text_encoding import TokenIds, read_tokenizer
from rag_service.retrieval.numbers import placed_numbers

CONSTANTS = tuple(map(Fraction, (1, 2, 3, 4, 5, 7, 10, 12, 60, 100)))  # that a sum may use unsaid: "twice"
MARK = "#"
MOST_NUMBERS = 24
MOST_TOKENS = 320

Results = tuple[tuple[Fraction, float], ...]  # of sums, the likeliest first, with their probabilities


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and the characters (start, end) that it takes."""

    value: Fraction
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, the text that it is asked about, and the numbers of both, the question's first.

    Places are those in `whole`.
    """

    question: str
    text: str
    quantities: tuple[Quantity, ...]

    @classmethod
    def of(cls, question: str, text: str = "") -> "Problem":
        """A problem that is told as one, its question last, is taken apart."""
        if not text:
            first = [start for start, _ in sentence_spans(question)][-1:]
            place = first[0] if first else 0
            question, text = question[place:], question[:place].strip()
        return cls(question, text, quantities(f"{question}\n{text}"))

    @property
    def whole(self) -> str:
        """Both texts."""
        return f"{self.question}\n{self.text}"

    @property
    def values(self) -> list[Fraction]:
        """What a sum may be made of: the constants, then the numbers."""
        return [*CONSTANTS, *(each.value for each in self.quantities)]


@dataclass(frozen=True, slots=True)
class ProblemRow:
    """`second` is the place of the text's first token, `places` those of the numbers."""

    ids: TokenIds
    second: int
    places: tuple[int, ...]


class ProblemTokenizer:
    """Makes rows with a BERT model's tokenizer; may be called by several threads at once."""

    def __init__(self, folder: Path) -> None:
        """`folder` holds the model's ``tokenizer.json``."""
        self._tokenizer = read_tokenizer(folder)
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True  # their names in a text are its characters
        self._first, self._between, self.mark = map(self._number, ("[CLS]", "[SEP]", MARK))

    def row(self, problem: Problem) -> ProblemRow:
        """Return the whole problem as a row, however long."""
        places: list[int] = []
        border = len(problem.question)
        asked = self._part(problem, 0, border, 1, places)
        second = len(asked) + 2
        told = self._part(problem, border + 1, len(problem.whole), second, places)
        ids = [self._first, *asked, self._between, *told, self._between]
        return ProblemRow(ids, second, tuple(places))

    def _part(self, problem: Problem, start: int, end: int, first: int, places: list[int]) -> TokenIds:
        ids: TokenIds = []
        text = problem.whole
        for each in problem.quantities:
            if start <= each.start < end:
                ids += self._ids(text[start : each.start])
                places.append(first + len(ids))
                ids.append(self.mark)
                start = each.end
        return ids + self._ids(text[start:end])

    def _ids(self, text: str) -> TokenIds:
        ids: TokenIds = self._tokenizer.encode(encodable(text), add_special_tokens=False).ids
        return ids

    def _number(self, token: str) -> int:
        number = self._tokenizer.token_to_id(token)
        if number is None:
            raise ModelError(f"The sum reader's tokenizer lacks {token}, which a BERT model's has.")
        return int(number)


def quantities(text: str) -> tuple[Quantity, ...]:
    """Return the numbers of a text in their order; times and dates in figures are none."""
    found: list[Quantity] = []
    for number, start, end in sorted(placed_numbers(text), key=lambda each: each[1]):
        value = _value(number)
        if value is not None and (not found or start >= found[-1].end):
            found.append(Quantity(value, start, end))
    return tuple(found)


def is_readable(problem: Problem, row: ProblemRow) -> bool:
    """Tell whether it is short enough and has numbers to add up, but not too many."""
    return 0 < len(problem.quantities) <= MOST_NUMBERS and len(row.ids) <= MOST_TOKENS


def _value(number: str) -> Fraction | None:
    try:
        return Fraction(Decimal(number))
    except (InvalidOperation, ValueError):
        return None


def same(one: Fraction, other: Fraction) -> bool:
    """Tell whether two results are one, up to what a calculator rounds."""
    return abs(one - other) <= Fraction(1, 10**6) * max(abs(one), abs(other), Fraction(1))


def share_of(results: Results, wanted: Fraction) -> float:
    """Return the probability of a result."""
    return sum(share for result, share in results if same(result, wanted))
