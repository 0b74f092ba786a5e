"""Reads retrieval sets in BEIR's layout: corpus.jsonl, queries.jsonl, qrels/<split>.tsv.

Thakur et al. 2021, arXiv:2104.08663. Each file may be xz-compressed, with ``.xz`` after its name.
"""

import csv
import json
import lzma
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from corpus.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class SetDocument:
    """A document of a retrieval set."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Queries by id, and for each the grades of the documents that were judged; 0 is not relevant."""

    name: str
    queries: Mapping[str, str]
    judgements: Mapping[str, Mapping[str, int]]


def read_retrieval_set(folder: Path, split: str = "test") -> RetrievalSet:
    """Return the queries of a split that have judgements.

    Raises:
        InvalidRequest: a file is missing or a line does not fit; the message names it.
    """
    judgements = _read_judgements(folder, split)
    texts = {_field(item, "_id"): _field(item, "text") for item in _items(folder, "queries.jsonl")}
    missing = sorted(set(judgements) - set(texts))
    if missing:
        raise InvalidRequest(f"{folder}: query {missing[0]!r} has judgements but no text in queries.jsonl.")
    return RetrievalSet(folder.name, {each: texts[each] for each in judgements}, judgements)


def read_documents(folder: Path) -> Iterator[SetDocument]:
    """Yield the set's documents.

    Raises:
        InvalidRequest: as `read_retrieval_set`.
    """
    for item in _items(folder, "corpus.jsonl"):
        yield SetDocument(_field(item, "_id"), str(item.get("title") or ""), _field(item, "text"))


def _read_judgements(folder: Path, split: str) -> dict[str, dict[str, int]]:
    judgements: dict[str, dict[str, int]] = {}
    name = f"qrels/{split}.tsv"
    with _open(folder, name) as lines:
        rows = csv.reader(lines, delimiter="\t")
        next(rows, None)  # the names of the columns
        for number, row in enumerate(rows, start=2):
            try:
                query, document, grade = row
                judgements.setdefault(query, {})[document] = int(grade)
            except ValueError as error:
                raise InvalidRequest(
                    f"{folder / name}, line {number}: needs query, document, grade."
                ) from error
    return judgements


def _items(folder: Path, name: str) -> Iterator[dict[str, object]]:
    with _open(folder, name) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                item = json.loads(line)
            except json.JSONDecodeError as error:
                raise InvalidRequest(f"{folder / name}, line {number}: is no JSON.") from error
            if not isinstance(item, dict):
                raise InvalidRequest(f"{folder / name}, line {number}: must be an object.")
            yield item


def _field(item: Mapping[str, object], name: str) -> str:
    if not isinstance(item.get(name), str):
        raise InvalidRequest(f"Each line needs a text in {name!r}; one has {str(item)[:80]!r}.")
    return str(item[name])


@contextmanager
def _open(folder: Path, name: str) -> Iterator[TextIO]:
    plain, compressed = folder / name, folder / f"{name}.xz"
    if plain.exists():
        with plain.open(encoding="utf-8", newline="") as lines:
            yield lines
    elif compressed.exists():
        with lzma.open(compressed, "rt", encoding="utf-8", newline="") as lines:
            yield lines
    else:
        raise InvalidRequest(f"{folder} has no {name} (nor {name}.xz); give a folder in BEIR's layout.")
