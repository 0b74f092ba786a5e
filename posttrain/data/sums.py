"""Sums made from templates, with numbers drawn at random: bare ones, and ones whose numbers a passage has."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random

from posttrain.data.reading import Source, split_of
from rag_service.answering.calculator import calculate
from rag_service.answering.conversation import Meta, Part, Record, SourcePassage, assistant, user

SOURCE = Source("sum templates of this project", "Apache-2.0")
_BARE = (
    ("What is {a} + {b}?", "{a}+{b}"),
    ("What is {a} minus {b}?", "{a}-{b}"),
    ("How much is {a} times {b}?", "{a}*{b}"),
    ("Calculate {a} * {b}.", "{a}*{b}"),
    ("{a} divided by {b}?", "{a}/{b}"),
    ("what is {a} x {b}", "{a}*{b}"),
    ("Add {a}, {b} and {c}.", "{a}+{b}+{c}"),
    ("What is {b} percent of {a}?", "{a}*{b}/100"),
    ("Compute ({a} - {b}) * {c}.", "({a}-{b})*{c}"),
    ("How much is {a} plus {b} minus {c}?", "{a}+{b}-{c}"),
)
# Title, passage, question, expression, unit of the answer.
_READ = (
    (
        "Price list",
        "A ticket for the museum costs {a} euros. Guided tours are on Sundays.",
        "What do {b} tickets for the museum cost?",
        "{a}*{b}",
        "euros",
    ),
    (
        "Bakery",
        "The bakery sells {a} loaves of bread a day. It opens at six.",
        "How many loaves does the bakery sell in {b} days?",
        "{a}*{b}",
        "loaves",
    ),
    (
        "Library report",
        "In 2019 the library had {a} readers, in 2020 it had {b}. The roof was repaired.",
        "How many readers did the library have in the two years together?",
        "{a}+{b}",
        "readers",
    ),
    (
        "School",
        "The school has {a} pupils. {b} of them come by bus, the others walk.",
        "How many pupils walk to school?",
        "{a}-{b}",
        "pupils",
    ),
    (
        "Orchard",
        "The orchard has {b} rows of apple trees with {a} trees in each row.",
        "How many apple trees does the orchard have?",
        "{a}*{b}",
        "trees",
    ),
    (
        "Harbour dues",
        "A berth costs {a} crowns a night. Electricity is included.",
        "How much does a berth cost for {b} nights?",
        "{a}*{b}",
        "crowns",
    ),
    (
        "Cinema",
        "The large hall has {a} seats and the small one {b}. Both were renovated.",
        "How many seats are there in both halls?",
        "{a}+{b}",
        "seats",
    ),
    (
        "Marathon",
        "{a} runners started in the race. {b} of them gave up on the way.",
        "How many runners finished?",
        "{a}-{b}",
        "runners",
    ),
    (
        "Van hire",
        "The van costs {a} dollars a day, and {b} dollars for cleaning at the end.",
        "What does the van cost for {c} days with cleaning?",
        "{a}*{c}+{b}",
        "dollars",
    ),
    (
        "Printer manual",
        "The printer prints {a} pages a minute. The tray holds 250 sheets.",
        "How many pages does it print in {b} minutes?",
        "{a}*{b}",
        "pages",
    ),
    (
        "Farm",
        "Each cow gives {a} litres of milk a day. The farm has {b} cows.",
        "How many litres of milk do all cows give in a day?",
        "{a}*{b}",
        "litres",
    ),
    (
        "Budget",
        "The festival cost {a} pounds. Tickets brought in {b} pounds.",
        "How much more did the festival cost than the tickets brought in?",
        "{a}-{b}",
        "pounds",
    ),
    (
        "Warehouse",
        "{a} boxes stand on each shelf. There are {b} shelves and two doors.",
        "How many boxes are there in the warehouse?",
        "{a}*{b}",
        "boxes",
    ),
    (
        "Train",
        "The train has {b} carriages with {a} seats each and a dining car.",
        "How many seats do the carriages have together?",
        "{a}*{b}",
        "seats",
    ),
    (
        "Shared prize",
        "The prize of {a} euros was shared equally by {b} winners.",
        "How many euros did each winner get?",
        "{a}/{b}",
        "euros",
    ),
    (
        "Club",
        "A year's membership costs {a} francs. The club has {b} members.",
        "How much do the members pay in a year, all together?",
        "{a}*{b}",
        "francs",
    ),
    (
        "Pool",
        "The pool loses {a} litres of water an hour when the pump is off.",
        "How much water does the pool lose in {b} hours?",
        "{a}*{b}",
        "litres",
    ),
    (
        "Census",
        "The village had {b} inhabitants in 1950 and {a} in 2000.",
        "By how many inhabitants did the village grow from 1950 to 2000?",
        "{a}-{b}",
        "inhabitants",
    ),
    (
        "Recipe",
        "For one cake you need {a} grams of flour and {b} grams of sugar.",
        "How many grams of flour do {c} cakes need?",
        "{a}*{c}",
        "grams",
    ),
    (
        "Delivery",
        "A parcel costs {a} euros. For each further kilogram {b} euros are added.",
        "What does a parcel with {c} further kilograms cost?",
        "{a}+{b}*{c}",
        "euros",
    ),
)


def sum_records(count: int, *, read: bool, seed: int = 0) -> Iterator[Record]:
    """Yield sums; with `read` their numbers stand in a passage, and the answer cites it.

    A tenth of the numbers drawn is kept for development.
    """
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    made = 0
    while made < count:
        numbers = _numbers(random)
        title, passage, question, form, unit = (
            random.choice(_READ) if read else ("", "", *random.choice(_BARE), "")
        )
        expression = form.format(**numbers)
        result = calculate(expression).result
        if ("-" in form and Decimal(result) <= 0) or len(result) > 9:  # noqa: PLR2004 - no endless decimals
            continue
        made += 1
        asked = question.format(**numbers)
        call = (Part("calculate", expression), Part("calculate_result", result))
        if read:
            source = SourcePassage(f"sum-{made}", passage.format(**numbers), title)
            found = Part("search_result", passages=(source,))
            turn = assistant(Part("search", asked), found, *call, f"{result} {unit} [1].")
        else:
            turn = assistant(*call, f"The answer is {result}.")
        yield Record(
            id=f"sum-{'read' if read else 'bare'}-{made}",
            task="calculate",
            split=split_of(str(sorted(numbers.items())), dev_percent=10),
            messages=(user(asked), turn),
            meta=Meta(
                gold=(result,),
                answerable=True,
                gold_passages=(f"sum-{made}",) if read else (),
                source=SOURCE.name,
                license=SOURCE.license,
            ),
        )


def _numbers(random: Random) -> dict[str, str]:
    def draw(most: int) -> str:
        if random.random() < 0.15:  # noqa: PLR2004 - some have decimals
            return f"{random.randint(1, most)}.{random.choice((5, 25, 4, 8))}"
        return str(random.randint(2, most))

    return {"a": draw(random.choice((20, 200, 3000))), "b": draw(random.choice((12, 60))), "c": draw(15)}
