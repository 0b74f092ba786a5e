"""Which of two amounts or dates is the larger or later one, as far as their texts tell."""

import re
from dataclasses import dataclass
from fractions import Fraction

from rag_service.retrieval.numbers import MONTHS, placed_numbers
from rag_service.retrieval.units import unit_behind

Date = tuple[int, ...]  # a year; with month; with day

_YEAR = r"(?P<year>(?:1\d|20)\d\d)"
_MONTH = rf"(?P<month>{'|'.join(sorted(MONTHS, key=len, reverse=True))})\.?"
_DAY = r"(?P<day>\d\d?)(?:st|nd|rd|th)?"
_DATES = tuple(
    re.compile(rf"\b{form}\b", re.IGNORECASE)
    for form in (
        rf"{_YEAR}-(?P<number>\d\d)-(?P<day>\d\d)",
        rf"{_DAY}(?: of)? {_MONTH},? {_YEAR}",
        rf"{_MONTH} {_DAY},? {_YEAR}",
        rf"{_MONTH},? {_YEAR}",
        _YEAR,
    )
)
_MONTHS_IN_ORDER = tuple(dict.fromkeys(MONTHS.values()))
_MINUS = re.compile(r"(?:^|[\s(])[-\u2212\u2013]$")
_RANGE = re.compile(r"\s?(?:-|\u2013|to|or|and|until)\s?")
# In the first unit of each kind.
_FACTORS: dict[str, int | Fraction] = {
    "metre": 1,
    "kilometre": 1000,
    "centimetre": Fraction(1, 100),
    "millimetre": Fraction(1, 1000),
    "gram": 1,
    "kilogram": 1000,
    "milligram": Fraction(1, 1000),
    "tonne": 1_000_000,
    "litre": 1,
    "millilitre": Fraction(1, 1000),
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": 86_400,
    "week": 604_800,
    "watt": 1,
    "kilowatt": 1000,
    "megawatt": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Amount:
    """A number, or from where to where it lies, in its unit, or in the first of its kind.

    The units are empty where none is known.
    """

    low: Fraction
    high: Fraction
    unit: str = ""
    by: str = ""  # what each of it is of: litres an hour


def date_in(text: str) -> Date | None:
    """Return the only date of a text, as far as it goes; None: there is none, or another one too.

    Of a span, from one to another, it is the first.
    """
    found: list[tuple[int, int, Date]] = []
    for form in _DATES:
        found += [(match.start(), match.end(), _date(match)) for match in form.finditer(text)]
        text = form.sub(lambda match: " " * len(match[0]), text)
    found.sort()
    if len(found) == 2 and _RANGE.fullmatch(text[found[0][1] : found[1][0]]):  # noqa: PLR2004 - its ends
        del found[1]
    return found[0][2] if len(found) == 1 else None


def _date(match: re.Match[str]) -> Date:
    parts = match.groupdict()
    month = parts.get("month")
    number = _MONTHS_IN_ORDER.index(MONTHS[month.lower()]) + 1 if month else parts.get("number")
    return tuple(int(each) for each in (parts["year"], number, parts.get("day")) if each)


def amount_in(told: str, sentence: str) -> Amount | None:
    """Return the first number of what was told, with the unit behind it there or in its sentence.

    None if there is no number.
    """
    told, sentence = " ".join(told.split()), " ".join(sentence.split())
    numbers = sorted(placed_numbers(told), key=lambda each: each[1])
    if not numbers:
        return None
    ends = numbers[:1]
    if len(numbers) > 1 and _RANGE.fullmatch(told[numbers[0][2] : numbers[1][1]]):
        ends = numbers[:2]
    try:
        low, *_, high = [Fraction(number) for number, *_ in ends] * 2
    except ValueError:  # 6:30, 1.2.3
        return None
    if _MINUS.search(told[: ends[0][1]]):
        low, high = -high, -low
    place = sentence.find(told)
    text, place = (told, 0) if place < 0 else (sentence, place)
    unit, by = unit_behind(text, place + ends[-1][1], place + ends[-1][2])
    if unit is None:
        return Amount(low, high)
    factor = _FACTORS.get(unit.name)
    name = unit.kind if factor else unit.name
    return Amount(low * (factor or 1), high * (factor or 1), name, by.name if by else "")


def order_of_dates(one: Date, other: Date) -> int | None:
    """Return -1 if the first is earlier, 1 if it is later; None if they do not tell."""
    known = min(len(one), len(other))
    if one[:known] == other[:known]:
        return None
    return -1 if one[:known] < other[:known] else 1


def order_of_amounts(one: Amount, other: Amount) -> int | None:
    """Return -1 if the first is less, 1 if it is more; None if they overlap, or in units of other kinds."""
    if one.unit != other.unit or (one.by and other.by and one.by != other.by):
        return None
    if one.high < other.low:
        return -1
    return 1 if one.low > other.high else None
