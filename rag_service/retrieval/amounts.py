"""Which of two amounts or dates is the larger or later one, as far as their texts tell.

In doubt they do not: a number that may be read in two ways, or a unit that only one of them has, is none.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

from rag_service.retrieval.numbers import MONTHS, placed_numbers
from rag_service.retrieval.units import Unit, unit_behind

Date = tuple[int, ...]  # a year; with month; with day

MONTHS_IN_ORDER = tuple(dict.fromkeys(MONTHS.values()))
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
_MOST_DAYS = 31
# Digits of two numbers, as in "186622 December"; years before our era.
_NO_DATE = re.compile(r"\d{5}|\bB\.?\s?C\b|\bAD\b")
_RANGE = re.compile(r"\s?(?:-|\u2013|to|or|and|until)\s?")
_MINUS = re.compile(r"(?:^|[\s(])(?:minus\s|[-\u2212\u2013])$", re.IGNORECASE)
_BELOW = re.compile(r"[^.,;]{0,20}\bbelow (?:zero|freezing)\b", re.IGNORECASE)
_GERMAN = re.compile(r"\d{1,3}\.\d{3}")  # 1.234 may be more than a thousand
# "5m", "1/2", "2\u00bd", "$5-$10": more of the number stands behind it.
_GOES_ON = re.compile(
    r"(?:[kmb]|mn|bn)\b|/\s?\d|[\u00bc-\u00be]|\s?[-\u2013]\s?[$\u20ac\u00a3]", re.IGNORECASE
)
_FAHRENHEIT = re.compile(r"\s?(?:\u00b0|degrees)\s?F\b")
_SHORT_UNIT = re.compile(r"\s?([KMGT]i?B|ft|lbs?|oz|yd|mi)\b")
_PERIOD = re.compile(
    r"[^,.;\d]{0,15}?(?:\b(?:per|each|every)\s|/\s?|\ban?\s(?=(?:hour|day|night|week|month|quarter|year)\b))"
    r"(?P<by>[^\W\d_]+)"
    r"|\s?(?P<adverb>hourly|daily|weekly|monthly|yearly|annually)"
)
_ADVERBS = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
# In the first unit of each kind.
_FACTORS: dict[str, int | Fraction] = {
    "metre": 1,
    "kilometre": 1000,
    "centimetre": Fraction(1, 100),
    "millimetre": Fraction(1, 1000),
    "foot": Fraction("0.3048"),
    "inch": Fraction("0.0254"),
    "yard": Fraction("0.9144"),
    "mile": Fraction("1609.344"),
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

    Of a span, from one to another, it is the first. A number with a unit is no year.
    """
    if _NO_DATE.search(text):
        return None
    found: list[tuple[int, int, Date]] = []
    for form in _DATES:
        found += [
            (match.start(), match.end(), _date(match))
            for match in form.finditer(text)
            if unit_behind(text, match.start(), match.end())[0] is None
        ]
        text = form.sub(lambda match: " " * len(match[0]), text)
    found.sort()
    if len(found) == 2 and _RANGE.fullmatch(text[found[0][1] : found[1][0]]):  # noqa: PLR2004 - its ends
        del found[1]
    return found[0][2] if len(found) == 1 else None


def _date(match: re.Match[str]) -> Date:
    """Return what is written, of a month or day that can not be only the year."""
    parts = match.groupdict()
    name = parts.get("month")
    month = MONTHS_IN_ORDER.index(MONTHS[name.lower()]) + 1 if name else int(parts.get("number") or 0)
    day, year = int(parts.get("day") or 0), int(parts["year"])
    if not 1 <= month <= len(MONTHS_IN_ORDER) or day > _MOST_DAYS:
        return (year,)
    return (year, month, day) if day else (year, month)


def amount_in(told: str, sentence: str) -> Amount | None:
    """Return the first number of what was told, with the unit behind it there or in its sentence.

    None if there is no number, or where it may be another one than it seems.
    """
    told, sentence = " ".join(told.split()), " ".join(sentence.split())
    place = re.search(rf"(?<!\d){re.escape(told)}", sentence) if told else None
    text, shift = (sentence, place.start()) if place else (told, 0)
    numbers = sorted(placed_numbers(told), key=lambda each: each[1])
    if not numbers:
        return None
    ends = numbers[:1]
    if len(numbers) > 1 and _RANGE.fullmatch(told[numbers[0][2] : numbers[1][1]]):
        ends = numbers[:2]
    start, end = shift + ends[0][1], shift + ends[-1][2]
    if _GERMAN.fullmatch(text[start:end]) or _GOES_ON.match(text, end):
        return None
    try:
        values = [Fraction(number) for number, *_ in ends]
    except ValueError:  # 6:30, 1.2.3
        return None
    if _MINUS.search(text[:start]) or _BELOW.match(text, end):
        values[0] = -values[0]
    return _in_first_unit(min(values), max(values), text, ends[-1][1] + shift, end)


def _in_first_unit(low: Fraction, high: Fraction, text: str, start: int, end: int) -> Amount:
    unit, by = unit_behind(text, start, end)
    factor = _FACTORS.get(unit.name, 1) if unit else 1
    return Amount(
        low * factor, high * factor, _unit_name(unit, text, end), by.name if by else _period(text, end)
    )


def _unit_name(unit: Unit | None, text: str, end: int) -> str:
    if unit is None:
        short = _SHORT_UNIT.match(text, end)
        return short[1].lower() if short else ""
    if _FAHRENHEIT.match(text, end):
        return "fahrenheit"
    return unit.kind if unit.name in _FACTORS else unit.name


def _period(text: str, end: int) -> str:
    found = _PERIOD.match(text, end)
    if found is None:
        return ""
    return found["by"] or _ADVERBS.get(found["adverb"], "year")


def order_of_dates(one: Date, other: Date) -> int | None:
    """Return -1 if the first is earlier, 1 if it is later; None if they do not tell."""
    known = min(len(one), len(other))
    if one[:known] == other[:known]:
        return None
    return -1 if one[:known] < other[:known] else 1


def order_of_amounts(one: Amount, other: Amount) -> int | None:
    """Return -1 if the first is less, 1 if it is more; None if they overlap, or in units of other kinds."""
    if (one.unit, one.by) != (other.unit, other.by):
        return None
    if one.high < other.low:
        return -1
    return 1 if one.low > other.high else None
