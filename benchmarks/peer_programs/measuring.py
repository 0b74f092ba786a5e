"""What is measured of each program, the same for all; needs nothing but Python.

A program is run by the interpreter of its own environment as `program.py INPUT FOLDER`. INPUT is the JSON
that `benchmarks/peers.py` writes, FOLDER an empty folder for what the program keeps. It prints one line of
JSON, last.
"""

import json
import math
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

DEPTH = 10
CLIENTS = 8


class Program(ABC):
    """A program that searches: models are loaded when it is made, before any clock runs."""

    modes: Sequence[str]  # of "dense" and "hybrid"

    @abstractmethod
    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Make texts (title and text) searchable in all modes; when this returns they are."""

    @abstractmethod
    def search(self, mode: str, query: str) -> list[str]:
        """Return the ids of the 10 best texts, best first."""

    def close(self) -> None:  # noqa: B027 - most have nothing to end
        """End what runs beside."""


def measure(make: Callable[[str, Path], Program], packages: Sequence[str]) -> None:
    """Take in, search one by one, search with eight clients at a time; print what that gave as JSON.

    Args:
        make: gets the model's folder and the folder for what the program keeps.
        packages: whose versions are noted.
    """
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    program = make(given["model"], Path(sys.argv[2]))
    try:
        result = measure_all(program, given)
    finally:
        program.close()
    print(json.dumps({"versions": {name: version(name) for name in packages}, **result}))


def measure_all(program: Program, given: Mapping[str, Any]) -> dict[str, Any]:
    """Take in, then search in each mode."""
    began = time.perf_counter()
    program.ingest([each["id"] for each in given["texts"]], given["texts"])
    seconds = time.perf_counter() - began
    return {
        "texts": len(given["texts"]),
        "ingest_s": seconds,
        "modes": {mode: measure_searches(program, mode, given) for mode in program.modes},
    }


def measure_searches(program: Program, mode: str, given: Mapping[str, Any]) -> dict[str, float]:
    """Time searches, no query twice in any mode: what a program remembers is of no use to it."""
    timed = given["timed"][mode]
    for query in timed["first"]:
        program.search(mode, query)
    seconds = []
    for query in timed["alone"]:
        began = time.perf_counter()
        program.search(mode, query)
        seconds.append(time.perf_counter() - began)
    qps = queries_a_second(program, mode, timed["crowd"])
    scores = [ndcg(program.search(mode, each["text"]), each["relevant"]) for each in given["queries"]]
    return {"p50_ms": median(seconds) * 1000, "qps": qps, "ndcg": sum(scores) / len(scores)}


def queries_a_second(program: Program, mode: str, queries: Sequence[str]) -> float:
    """Search for all queries with eight clients at a time."""
    remaining, lock = iter(queries), threading.Lock()
    problems: list[Exception] = []

    def work() -> None:
        try:
            while True:
                with lock:
                    query = next(remaining, None)
                if query is None:
                    return
                program.search(mode, query)
        except Exception as problem:  # noqa: BLE001 - whatever it is, the number would be wrong
            problems.append(problem)

    clients = [threading.Thread(target=work) for _ in range(CLIENTS)]
    began = time.perf_counter()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    seconds = time.perf_counter() - began
    if problems:
        raise problems[0]
    return len(queries) / seconds


def ndcg(found: Sequence[str], relevant: Mapping[str, int]) -> float:
    """Return nDCG@10 (linear gain, as trec_eval has it)."""
    gains = [relevant.get(each, 0) for each in found[:DEPTH]]
    best = sorted(relevant.values(), reverse=True)[:DEPTH]
    return discounted(gains) / discounted(best)


def discounted(gains: Sequence[int]) -> float:
    """Return the sum of gains, each over the logarithm of its rank."""
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def whole(text: Mapping[str, str]) -> str:
    """Return title and text as the one string that most programs take."""
    return f"{text['title']}\n{text['text']}"
