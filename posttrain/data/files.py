"""Reading and writing JSON, JSON lines and CSV, plain or compressed with xz or gzip."""

import csv
import gzip
import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from corpus.errors import InvalidRecord
from rag_service.answering.conversation import Record, record_from_json, record_to_json

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def open_text(path: Path) -> IO[str]:
    """Open a text file, uncompressed by its name (``.xz``, ``.gz``)."""
    if path.suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    return path.open(encoding="utf-8")


def read_json(path: Path) -> Json:
    """Return the one JSON value that the file holds."""
    with open_text(path) as file:
        value: Json = json.load(file)
    return value


def read_json_lines(path: Path) -> Iterator[dict[str, Json]]:
    """Yield one object a line.

    Raises:
        InvalidRecord: a line is no JSON object; the message names file and line.
    """
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except ValueError as error:
                raise InvalidRecord(f"{path.name}, line {number}, is no JSON ({error}).") from error
            if not isinstance(value, dict):
                raise InvalidRecord(f"{path.name}, line {number}, must be an object.")
            yield value


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """Yield one record a row, keyed by the header."""
    with open_text(path) as file:
        yield from csv.DictReader(file)


def write_records(path: Path, records: Iterable[Record]) -> int:
    """Write one record a line, all or nothing; return how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".part")
    count = 0
    with draft.open("w", encoding="utf-8") as file:
        for record in records:
            file.write(record_to_json(record) + "\n")
            count += 1
    draft.replace(path)
    return count


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file that `write_records` made.

    Raises:
        InvalidRecord: a line is no record; the message names file and line.
    """
    with open_text(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                yield record_from_json(line)
            except InvalidRecord as error:
                raise InvalidRecord(f"{path.name}, line {number}: {error}") from error
