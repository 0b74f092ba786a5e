"""What is measured: which unit a question asks for, and which ones an answer has.

"How deep is the lake?" is not answered by "41 square kilometres".
"""

import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

Quantity = Literal[
    "length", "area", "volume", "mass", "time", "power", "energy", "speed", "temperature", "money"
]

# In this order: what a longer unit says is not said again by the shorter one in it.
_UNITS: tuple[tuple[Quantity, tuple[str, ...]], ...] = (
    ("area", (r"square \w+", "hectares?", "acres?", "[km]?m²")),
    ("volume", (r"cubic \w+", "(?:milli)?lit(?:re|er)s?", "gallons?", "pints?", "m³", r"(?<=\d )(?:m?l)")),
    (
        "speed",
        (
            "km/h",
            "kph",
            "mph",
            "m/s",
            "knots?",
            r"(?:kilo)?met(?:re|er)s (?:per|an?) \w+",
            r"miles (?:per|an) \w+",
        ),
    ),
    ("energy", ("(?:kilo|mega|giga)?watt[ -]?hours?", "[kMG]?Wh", "joules?", "calories")),
    ("power", ("(?:kilo|mega|giga)?watts?", "[kMG]W", "horsepower")),
    ("temperature", (r"°\s?[CF]", "degrees")),
    (
        "length",
        (
            "(?:kilo|centi|milli)?met(?:re|er)s?",
            "miles?",
            "feet",
            "foot",
            "inch(?:es)?",
            "yards?",
            "[kcm]m",
            r"(?<=\d )m",
        ),
    ),
    ("mass", ("(?:kilo|milli)?grams?", "kilos?", "kg", "tonnes?", "tons?", r"(?<=\d )m?g")),
    (
        "time",
        (
            "seconds?",
            "minutes?",
            "hours?",
            "days?",
            "weeks?",
            "months?",
            "years?",
            "decades?",
            "centur(?:y|ies)",
            r"(?<=\d )(?:min|h)",
        ),
    ),
    (
        "money",
        (
            "crowns?",
            "euros?",
            "dollars?",
            "cents?",
            "francs?",
            "rupees?",
            "pesos?",
            "yen",
            "kron(?:or|er)",
            r"(?<=\d )(?:EUR|USD|GBP|CHF|kr)",
            r"(?<=\d)\s?[€£]",
        ),
    ),
)
_FORMS = [
    (kind, re.compile(rf"(?<![^\W\d])(?:{'|'.join(forms)})(?!\w)", re.IGNORECASE)) for kind, forms in _UNITS
]
_ONE = "|".join(rf"(?P<{kind}>{'|'.join(forms)})" for kind, forms in _UNITS)
# "40 Canadian dollars", "three full days"; "litres of red diesel an hour", "crowns per person per day".
_WHAT_KIND = r"(?:(?:(?-i:[A-Z])\w+|nautical|full|whole|metric|long|short|more|other) )?"
_BEHIND = re.compile(rf"(?:[\s-]|\s?(?=[°€£]))?{_WHAT_KIND}(?:{_ONE})(?!\w)", re.IGNORECASE)
_BY = re.compile(
    rf"(?: of \w+(?: \w+)?)?(?: per \w+)?(?: (?:per|an?|each|every) |\s?/\s?)(?:{_ONE})(?!\w)", re.IGNORECASE
)
_OTHER_NAMES = {
    "km": "kilometre",
    "m": "metre",
    "cm": "centimetre",
    "feet": "foot",
    "inches": "inch",
    "kg": "kilogram",
    "kilo": "kilogram",
    "kilos": "kilogram",
    "kw": "kilowatt",
    "mw": "megawatt",
    "gw": "gigawatt",
    "w": "watt",
    "kwh": "kilowatt hour",
    "mwh": "megawatt hour",
    "centuries": "century",
    "mm": "millimetre",
    "l": "litre",
    "ml": "millilitre",
    "g": "gram",
    "mg": "milligram",
    "ton": "tonne",
    "tons": "tonne",
    "min": "minute",
    "h": "hour",
    "gwh": "gigawatt hour",
    "wh": "watt hour",
    "kroner": "krone",
    "kronor": "krona",
    "eur": "euro",
    "€": "euro",
    "usd": "dollar",
    "$": "dollar",
    "chf": "franc",
    "gbp": "pound",
    "£": "pound",
    "¥": "yen",
    "kr": "crown",
    "°c": "degree",
    "° c": "degree",
    "°f": "degree",
    "m³": "cubic metre",
    "m²": "square metre",
    "km²": "square kilometre",
}
_MOST_READ = 1000  # characters of a question, from its end
_MONEY_SIGN = re.compile(r"[$€£¥]\s?$")
# Not "What does the temperature sensor cost?", nor "How long does it keep at room temperature?"
_TEMPERATURE = (
    r"\b(?:what|which)(?: (?:is|are|was|were))?(?: the)?(?: \w+){0,2} temperatures?\b"
    r"(?!\s(?!(?:is|are|was|were|must|may|can|should|shall|will|do|does|did|has|have|of|in|inside|at|for|on)\b))"
)
_ASKED: tuple[tuple[Quantity, str], ...] = (
    ("length", r"how (?:deep|high|tall|wide|far|thick|close|near)\b"),
    ("speed", r"how fast\b|\b(?:top|average|wind) speed\b"),
    ("mass", r"how heavy\b"),
    ("temperature", rf"how (?:hot|cold|warm)\b|{_TEMPERATURE}"),
    ("money", r"(?:how much|what) (?:does|do|did|will|would) .*\bcosts?\b"),
)
_HIGH = re.compile(r"how high\b", re.IGNORECASE)
_CAN_BE_HIGH: frozenset[Quantity] = frozenset({"money", "temperature", "power", "energy", "speed"})
_FORMS_ASKED = [(kind, re.compile(form, re.IGNORECASE)) for kind, form in _ASKED]
# What is measured in days or hours is no amount: "How much paid leave do I have?"
_AMOUNT = re.compile(
    r"how much (?!longer|older|younger|earlier|later|sooner|more|less|do|does|did|is|are|was|were|of"
    r"|(?:\w+ )?(?:time|notice|leave|sleep|rest|holiday|vacation|warning|delay|overtime|experience|training"
    r"|practice|work)\b)\w",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"how (?:many|much) (\w+(?: \w+)?)", re.IGNORECASE)


def quantities_in(text: str) -> frozenset[Quantity]:
    """Return what the units in a text measure."""
    found: set[Quantity] = set()
    for kind, form in _FORMS:
        if form.search(text):
            found.add(kind)
            text = form.sub(" ", text)
    return frozenset(found)


class Unit(NamedTuple):
    """What is measured, and in which unit: volume, litre."""

    kind: Quantity
    name: str


def unit_behind(text: str, start: int, end: int) -> tuple[Unit | None, Unit | None]:
    """Return the unit of the number at these characters, and what each of it is of: litres, an hour.

    None where no known unit follows.
    """
    own = _BEHIND.match(text, end)
    if own is None:
        sign = _MONEY_SIGN.search(text, max(0, start - 2), start)
        return (Unit("money", _one_name(sign[0].strip())) if sign else None), None
    by = _BY.match(text, own.end())
    return _unit(own), _unit(by) if by else None


def unit_counted(question: str) -> Unit | None:
    """Return the unit that a question asks for the number of; None if it is another thing."""
    counted = _COUNTED.search(question)
    found = _BEHIND.match(counted[1]) if counted else None
    return _unit(found) if found else None


def _unit(match: re.Match[str]) -> Unit:
    kind = next(kind for kind, _ in _UNITS if match[kind])
    return Unit(kind, _one_name(match[kind]))


def _one_name(unit: str) -> str:
    """Return one name for a unit's spellings: kilometre for kilometers and km."""
    name = " ".join(unit.lower().replace("-", " ").split())
    name = _OTHER_NAMES.get(name, name)
    name = re.sub(r"(met|lit)er(?=s?\b)", r"\1re", name)
    return name.removesuffix("s")


def quantity_asked_for(question: str) -> Quantity | None:
    """Return what a question wants measured; None if it does not say."""
    question = question[-_MOST_READ:]
    asked = next((kind for kind, form in _FORMS_ASKED if form.search(question)), None)
    if asked:
        return asked
    counted = _COUNTED.search(question)
    return next(iter(quantities_in(counted[1])), None) if counted else None


def quantity_of(question: str, texts: Iterable[str]) -> Quantity | None:
    """Return what a question wants measured, if need be by the texts: diesel, by "litres of diesel" there."""
    if unit := unit_counted(question):
        return unit.kind
    counted = _COUNTED.search(question)
    if (asked := quantity_asked_for(question)) or counted is None:
        return asked
    behind = re.compile(rf"(?<![^\W\d])(?:{_ONE}) of {re.escape(counted[1].split()[0])}\b", re.IGNORECASE)
    found = next((match for text in texts if (match := behind.search(text))), None)
    return _unit(found).kind if found else None


def measures_another(question: str, answer: str) -> bool:
    """Tell whether an answer has units, and none of what is asked for.

    A way may take an hour, a quick reply two days, and a fee or a fever may be high. How much of something
    there is, is no time, whatever that is measured in.
    """
    asked, told = quantity_asked_for(question), quantities_in(answer)
    if asked is None or not told:
        return told == {"time"} and bool(_AMOUNT.search(question))
    also = _CAN_BE_HIGH if _HIGH.search(question) else frozenset()
    return not told & {asked, *also} and not (asked in {"length", "speed"} and "time" in told)
