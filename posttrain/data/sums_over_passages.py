"""Sums whose numbers stand in one or two passages among others, as a search finds them.

What is computed are the sums that people ask of documents: a price times a count, two prices together, a rate
over a way there and back, what is left of a plan, parts of a whole. Things, places and numbers are drawn.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from posttrain.data.reading import split_of
from posttrain.data.sums import SOURCE
from rag_service.answering.calculator import calculate
from rag_service.answering.conversation import Meta, Part, Record, SourcePassage, assistant, user

_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MONEY = ("euros", "dollars", "pounds", "francs", "marks", "pesos", "rupees", "kroner")
_GOODS = (
    ("cup of tea", "cups of tea"),
    ("postcard", "postcards"),
    ("wool blanket", "wool blankets"),
    ("jar of honey", "jars of honey"),
    ("city map", "city maps"),
    ("candle", "candles"),
    ("umbrella", "umbrellas"),
    ("bicycle tyre", "bicycle tyres"),
    ("pair of gloves", "pairs of gloves"),
    ("bag of seeds", "bags of seeds"),
    ("poster", "posters"),
    ("calendar", "calendars"),
    ("bottle of juice", "bottles of juice"),
    ("notebook", "notebooks"),
)
_DETAILS = (
    "It is sold at the counter.",
    "It was made in the valley.",
    "Payment is by card.",
    "Members get no discount.",
    "There is only one size.",
    "The price was set in spring.",
)
_VEHICLES = ("van", "tractor", "ferry", "truck", "snowplough", "bus", "motorboat", "minibus", "harvester")
_FUELS = ("petrol", "diesel", "fuel", "oil")
_PLACES = (
    "the quarry",
    "the lighthouse",
    "Elmford",
    "the upper dam",
    "the observatory",
    "Harrow Bay",
    "the sawmill",
    "the old mine",
    "Port Lisle",
    "the weather mast",
)
_BASES = ("the depot", "the farm", "the camp", "the town hall", "the workshop", "the harbour")
_WORKS = (
    ("tunnel", "dug"),
    ("road", "built"),
    ("wall", "finished"),
    ("well", "drilled"),
    ("canal", "dug"),
    ("cable", "laid"),
    ("fence", "put up"),
    ("pipeline", "laid"),
)
_MONTHS = ("January", "March", "April", "May", "June", "August", "October", "November")
_WHOLES = (
    ("water", "cubic metres", ("homes", "factories", "the public baths", "gardens")),
    ("electricity", "kilowatt hours", ("heating", "lighting", "the kitchens", "pumps")),
    ("paper", "sheets", ("the office", "the school", "the print shop", "leaflets")),
    ("gas", "cubic metres", ("cooking", "hot water", "the bakery", "the laundry")),
    ("salt", "tonnes", ("roads", "the fish hall", "cattle", "the dye works")),
    ("money", "crowns", ("wages", "repairs", "books", "travel")),
)
_YEARS = tuple(range(1996, 2025))
_CREW = ("passengers", "guests", "pupils", "players", "workers", "visitors", "singers", "climbers")
_SEATS = (
    "seat on the night train",
    "bed in the hostel",
    "place in the boat",
    "lunch",
    "ticket for the cable car",
)


@dataclass(frozen=True, slots=True)
class _Sum:
    """Passages (title, text), the question, what is computed, the unit of the answer."""

    passages: tuple[tuple[str, str], ...]
    question: str
    expression: str
    unit: str


def sums_over_passages(count: int, *, seed: int = 0) -> Iterator[Record]:
    """Yield sums over one or two passages among others; the answer cites those that it took numbers from.

    Shapes are few and things many; a tenth, by its question, is kept for development.
    """
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    made = 0
    while made < count:
        wanted = random.choice(_SHAPES)(random)
        result = calculate(_plain(wanted.expression)).result
        if Decimal(result) <= 0 or len(result) > 11:  # noqa: PLR2004 - no endless decimals
            continue
        made += 1
        yield _record(made, wanted, result, random)


def _record(number: int, wanted: _Sum, result: str, random: Random) -> Record:
    own = [SourcePassage(f"sum-{number}-{n}", text, title) for n, (title, text) in enumerate(wanted.passages)]
    others = [each for _ in range(random.randint(0, 2)) for each in random.choice(_SHAPES)(random).passages]
    beside = [SourcePassage(f"sum-{number}-other-{n}", text, title) for n, (title, text) in enumerate(others)]
    passages = (*own, *beside)
    passages = tuple(random.sample(passages, len(passages)))
    markers = "".join(f"[{place}]" for place, each in enumerate(passages, start=1) if each in own)
    turn = assistant(
        Part("search", wanted.question),
        Part("search_result", passages=passages),
        Part("calculate", _plain(wanted.expression)),
        Part("calculate_result", result),
        Part("text", f"{result} {wanted.unit} {markers}.".replace("  ", " ")),
    )
    return Record(
        id=f"sum-over-{number}",
        task="calculate",
        split=split_of(wanted.question, dev_percent=10),
        messages=(user(wanted.question), turn),
        meta=Meta(
            gold=(result,),
            answerable=True,
            gold_passages=tuple(each.id for each in own),
            source=SOURCE.name,
            license=SOURCE.license,
        ),
    )


def _plain(expression: str) -> str:
    return expression.replace(",", "")


def _amount(random: Random, most: int) -> str:
    """Write a number as documents do: sometimes with a point, large ones often with commas."""
    if most <= 60 and random.random() < 0.25:  # noqa: PLR2004 - some have decimals
        return f"{random.randint(1, most)}.{random.randint(1, 9)}"
    number = random.randint(2, most)
    return f"{number:,}" if random.random() < 0.7 else str(number)  # noqa: PLR2004 - mostly with commas


def _count(random: Random) -> tuple[str, str]:
    """Return a count as a question has it, in figures or words, and as it is computed with."""
    number = random.randint(2, 12)
    return (_WORDS[number - 2] if random.random() < 0.6 else str(number)), str(number)  # noqa: PLR2004


def _two_prices(random: Random) -> _Sum:
    (one, ones), (other, others) = random.sample(_GOODS, 2)
    money, price, second = random.choice(_MONEY), _amount(random, 90), _amount(random, 90)
    (said, times), (said_too, times_too) = _count(random), _count(random)
    lines = [f"A {one} costs {price} {money}.", f"A {other} costs {second} {money}."]
    details = random.sample(_DETAILS, 2)
    if random.random() < 0.5:  # noqa: PLR2004 - both lines in one passage
        passages: tuple[tuple[str, str], ...] = (("Price list", f"{lines[0]} {details[0]} {lines[1]}"),)
    else:
        passages = (("Shop", f"{lines[0]} {details[0]}"), ("Kiosk", f"{details[1]} {lines[1]}"))
    question = random.choice(
        (
            f"What do {said} {ones} and {said_too} {others} cost together?",
            f"How much are {said} {ones} plus {said_too} {others}?",
            f"how many {money} for {said} {ones} and {said_too} {others}",
        )
    )
    return _Sum(passages, question, f"{times}*{price}+{times_too}*{second}", money)


def _one_price(random: Random) -> _Sum:
    if random.random() < 0.5:  # noqa: PLR2004 - a coin
        one, many = random.choice(_GOODS)
        said, times = _count(random)
        asked = f"{said} {many}"
    else:
        one, crew = random.choice(_SEATS), random.choice(_CREW)
        said, times = _count(random)
        asked = f"a {one} for each of the {said} {crew}"
    price, money = _amount(random, 5000), random.choice(_MONEY)
    text = f"{random.choice(_DETAILS)} A {one} costs {price} {money}. {random.choice(_DETAILS)}"
    question = random.choice((f"What do we pay for {asked}?", f"How much is {asked} in total?"))
    return _Sum((("Prices", text),), question, f"{times}*{price}", money)


def _there_and_back(random: Random) -> _Sum:
    vehicle, fuel = random.choice(_VEHICLES), random.choice(_FUELS)
    place, base = random.choice(_PLACES), random.choice(_BASES)
    rate, way = _amount(random, 6), _amount(random, 400)
    back = random.random() < 0.6  # noqa: PLR2004 - more there and back than there alone
    again = " and back again" if back else ""
    passages = (
        ("Vehicles", f"The {vehicle} burns {rate} litres of {fuel} per kilometre. {random.choice(_DETAILS)}"),
        ("Places", f"{place[:1].upper()}{place[1:]} is {way} kilometres from {base}. A path leads up."),
    )
    question = random.choice(
        (
            f"How much {fuel} does the {vehicle} need from {base} to {place}{' and back' if back else ''}?",
            f"How many litres of {fuel} for the {vehicle} to go to {place}{again}?",
        )
    )
    return _Sum(passages, question, f"{rate}*{way}{'*2' if back else ''}", f"litres of {fuel}")


def _still_to_do(random: Random) -> _Sum:
    (work, done), month = random.choice(_WORKS), random.choice(_MONTHS)
    planned = random.randint(300, 9000)
    reached = random.randint(100, planned - 50)
    passages = (
        ("Plan", f"The {work} is to be {planned:,} metres long in the end. {random.choice(_DETAILS)}"),
        ("Report", f"At the end of {month} {reached:,} metres of the {work} were {done}."),
    )
    question = random.choice(
        (
            f"How many metres of the {work} are still to be {done}?",
            f"How much of the {work} was left to be {done} after {month}?",
        )
    )
    return _Sum(passages, question, f"{planned}-{reached}", "metres")


def _parts_of_a_whole(random: Random) -> _Sum:
    what, unit, uses = random.choice(_WHOLES)
    year, parts = random.choice(_YEARS), [random.randint(2, 90) * 500 for _ in range(3)]
    named = random.sample(uses, 3)
    told = ", ".join(f"{part:,} {unit} for {use}" for part, use in zip(parts[:2], named[:2], strict=True))
    last = f"{parts[2]:,} {unit} for {named[2]}"
    text = f"In {year} the town used {sum(parts):,} {unit} of {what}: {told} and {last}."
    first, second = random.sample(range(3), 2)
    if random.random() < 0.5:  # noqa: PLR2004 - a coin
        question = f"How many {unit} were used for {named[first]} and {named[second]} together in {year}?"
        return _Sum((("Yearly report", text),), question, f"{parts[first]}+{parts[second]}", unit)
    question = f"How much more {what} went to {named[first]} than to {named[second]} in {year}?"
    return _Sum((("Yearly report", text),), question, f"{parts[first]}-{parts[second]}", unit)


def _rate_over_time(random: Random) -> _Sum:
    vehicle, unit = random.choice(_VEHICLES), random.choice(("hour", "day", "week", "shift"))
    rate, (said, times) = _amount(random, 60), _count(random)
    fuel = random.choice(_FUELS)
    text = f"At full load the {vehicle} uses {rate} litres of {fuel} an {unit}.".replace("an d", "a d")
    text = text.replace("an w", "a w").replace("an s", "a s")
    question = random.choice(
        (
            f"How many litres of {fuel} does the {vehicle} use in {said} {unit}s?",
            f"How much {fuel} is used by the {vehicle} in {said} {unit}s at full load?",
        )
    )
    return _Sum((("Handbook", text),), question, f"{rate}*{times}", f"litres of {fuel}")


_SHAPES: tuple[Callable[[Random], _Sum], ...] = (
    _two_prices,
    _one_price,
    _there_and_back,
    _still_to_do,
    _parts_of_a_whole,
    _rate_over_time,
)
