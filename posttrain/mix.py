"""Mixing: how much of each task the model sees, from a recipe file.

A recipe is TOML: how many training records there are to be, the seed, and the share of each task::

    records = 20000
    seed = 0
    system = 0.8            # share of records that get the service's own system message

    [shares]
    rag_answer = 0.35
    rag_refuse = 0.25
    chat = 0.2          # replay of general chat, against forgetting
"""

import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import get_args

from corpus.errors import InvalidRecord
from rag_service.answering.conversation import Record, Task, system
from rag_service.answering.prompt import system_text

_SEARCHING: frozenset[Task] = frozenset({"rag_answer", "rag_refuse", "search"})
_EITHER: frozenset[Task] = frozenset({"calculate", "identity", "write_question"})
_FIRST_DAY, _DAYS = date(2024, 1, 1), 1500  # the message names the day; no single one is to be learned


@dataclass(frozen=True, slots=True)
class Recipe:
    """How many training records, and the share of each task; the shares sum to 1.

    `system` is the share of records that begin with the service's system message, as all do in use.
    """

    records: int
    shares: dict[Task, float]
    seed: int = 0
    system: float = 0.0


@dataclass(frozen=True, slots=True)
class Mix:
    """What is trained on, what development loss is measured on, and which tasks fell short."""

    train: tuple[Record, ...]
    dev: tuple[Record, ...]
    short: dict[Task, int]


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        InvalidRecord: it is no TOML, has an unknown task or key, or its shares do not sum to 1.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = Recipe(**values)
        total = math.fsum(recipe.shares.values())
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise InvalidRecord(f"{path.name} must be TOML with records, seed and [shares]: {error}.") from error
    if unknown := sorted(set(recipe.shares) - set(get_args(Task))):
        raise InvalidRecord(f"{path.name} has shares of unknown tasks: {', '.join(unknown)}.")
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise InvalidRecord(f"The shares of {path.name} sum to {total:g}; make them sum to 1.")
    return recipe


def mix(records: Iterable[Record], recipe: Recipe) -> Mix:
    """Draw each task's share at random; the same records and recipe give the same mix.

    The records' own split decides what is training and what development data, so a document never
    stands in both. A task with too few records gives all it has, once; `short` says how many lack.
    Of the development records a tenth as many are drawn.
    """
    pools: dict[tuple[str, Task], list[Record]] = {}
    for record in records:
        pools.setdefault((record.split, record.task), []).append(record)
    random = Random(recipe.seed)  # noqa: S311 - an order of data, no secret
    train: list[Record] = []
    dev: list[Record] = []
    short: dict[Task, int] = {}
    for task, share in sorted(recipe.shares.items()):
        wanted = round(recipe.records * share)
        train += (drawn := _draw(pools.get(("train", task), []), wanted, random))
        dev += _draw(pools.get(("dev", task), []), math.ceil(wanted / 10), random)
        if len(drawn) < wanted:
            short[task] = wanted - len(drawn)
    random.shuffle(train)
    train, dev = ([introduced(each, random, share=recipe.system) for each in part] for part in (train, dev))
    return Mix(tuple(train), tuple(dev), short)


def introduced(record: Record, random: Random, *, share: float) -> Record:
    """Put the service's system message before a share of the records; without it, it throws a model off.

    Where the record searches, it may; where it shows what the model holds by itself, it may not.
    """
    day = _FIRST_DAY + timedelta(days=random.randrange(_DAYS))
    if record.messages[0].role == "system" or random.random() >= share:
        return record
    searches = any(part.type == "search" for part in record.messages[-1].parts)
    coin = random.random() < 0.5  # noqa: PLR2004 - as often one as the other
    search = searches or record.task in _SEARCHING or (record.task in _EITHER and coin)
    return replace(record, messages=(system(system_text(day, search=search)), *record.messages))


def _draw(pool: list[Record], count: int, random: Random) -> list[Record]:
    ordered = sorted(pool, key=lambda record: record.id)  # whatever order the files came in
    return ordered if count >= len(ordered) else random.sample(ordered, count)
