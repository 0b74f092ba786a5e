"""Word problems made from templates: one to three steps, as people ask them, some with numbers of no use.

Beside the published sets, whose problems have few shapes each, they teach which numbers belong to the
expression. Names, things and numbers are drawn at random.
"""

from collections.abc import Iterator
from decimal import Decimal
from importlib.resources import files
from random import Random

from posttrain.data.reading import Source, split_of
from rag_service.answering.calculator import calculate
from rag_service.answering.conversation import Meta, Part, Record, assistant, user

SOURCE = Source("word problems of this project", "Apache-2.0")
_NAMES = (
    "Ada,Ben,Carla,Dario,Elif,Farid,Greta,Hana,Ivan,Jonas,Kemal,Lena,Mira,Noor,Olga,Pavel,Rosa,Samir,Tilda,"
    "Umar,Vera,Wim,Yara,Zeno,Nick,Tom,Mary,Sarah,Dan,Joan,Alyssa,Melanie,Keith,Bianca"
)
_THINGS = (
    "apples,oranges,marbles,stickers,books,cards,pencils,shells,stamps,coins,balloons,cookies,flowers,toys,"
    "bottles,peaches,muffins,tickets,boxes,stones,cups,eggs,dimes,quarters,pears,plums,tomatoes,photos,games"
)
_PLACES = "shop,market,school,garden,fair,library,beach,bakery,cinema,park"
_FILE = "word_problems.txt"
_LONGEST = 9  # characters of a result: no endless decimals


def word_problems(count: int, *, seed: int = 0) -> Iterator[Record]:
    """Yield problems with their expression; those of a tenth of the numbers drawn are for development."""
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    templates = _templates()
    made = 0
    while made < count:
        question, form = random.choice(templates)
        numbers = _numbers(random)
        expression = form.format(**numbers)
        result = calculate(expression).result
        if Decimal(result) <= 0 or len(result) > _LONGEST or _is_cut(question, result):
            continue
        made += 1
        asked = question.format(**numbers, **_words(random))
        yield Record(
            id=f"problem-{made}",
            task="calculate",
            split=split_of(str(sorted(numbers.items())), dev_percent=10),
            messages=(
                user(asked),
                assistant(
                    Part("calculate", expression),
                    Part("calculate_result", result),
                    f"The answer is {result}.",
                ),
            ),
            meta=Meta(
                gold=(result,),
                answerable=True,
                source=SOURCE.name,
                license=SOURCE.license,
            ),
        )


def _templates() -> list[tuple[str, str]]:
    text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    lines = (line.split(" = ") for line in text.splitlines() if line and not line.startswith("#"))
    return [(question, form) for question, form in lines]


def _is_cut(question: str, result: str) -> bool:
    """Tell whether a count of things is no whole number."""
    return question.rpartition(". ")[2].lower().startswith(("how many", "if each")) and "." in result


def _words(random: Random) -> dict[str, str]:
    x, y, z = random.sample(_NAMES.split(","), 3)
    t, u = random.sample(_THINGS.split(","), 2)
    return {"x": x, "y": y, "z": z, "t": t, "u": u, "p": random.choice(_PLACES.split(","))}


def _numbers(random: Random) -> dict[str, str]:
    """Draw numbers so that what is divided leaves nothing: `m` by `b` and `f`, `g` by `f`."""
    b, c, f = random.randint(3, 60), random.randint(2, 12), random.randint(2, 9)
    a = b + random.randint(1, random.choice((15, 90, 900)))
    prices = {
        name: f"{random.uniform(0.1, random.choice((3, 20))):.2f}".rstrip("0").rstrip(".") for name in "qrs"
    }
    whole = {"a": a, "b": b, "c": c, "f": f}
    whole |= {"m": b * f * random.randint(1, 6), "g": f * random.randint(1, 9)}
    whole |= {"h": random.choice((5, 10, 20, 25, 30, 40, 50, 75)), "n": f * c + random.randint(1, 50)}
    return {name: str(number) for name, number in whole.items()} | prices
