"""Lines of JSON as documents: ``{"text", "title", "external_id", "metadata", "collection"}``."""

from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from typing import IO

from pydantic import JsonValue, ValidationError

from indexer.uploads import EXACT_TEXT
from rag_service.api.schemas.jobs import IngestionRecord
from rag_service.sources.source import READ_BYTES, Parts, Source, no_parts

LONGEST_LINE = 64 << 20
_SHOWN = 60


def has_lines(name: str) -> bool:
    """Tell a file of records by its name."""
    return name.lower().endswith((".jsonl", ".ndjson"))


def lines(
    name: str,
    file: IO[bytes],
    *,
    longest: int = LONGEST_LINE,
    metadata: Mapping[str, JsonValue] | None = None,
) -> Iterator[Source]:
    """Yield one document a line, blank ones left out; memory does not grow with the file.

    A byte order mark at its beginning is no part of the first line.

    Args:
        name: of the file, for the items' names.
        file: opened at its beginning.
        longest: bytes of a line; a longer one is a source with a problem.
        metadata: of the lines that have none of their own.
    """
    for number, line in enumerate(_cut_lines(file, longest), start=1):
        place = f"{name}, line {number}"
        if len(line) > longest:
            yield Source(place, no_parts, 0, problem=f"The line has more than {longest >> 20} MiB; split it.")
            continue
        record = line.removeprefix(BOM_UTF8) if number == 1 else line
        if record.strip():
            yield _source(place, record, metadata or {})


def _cut_lines(file: IO[bytes], longest: int) -> Iterator[bytes]:
    """Yield the lines; of one that is longer, the beginning, one byte longer than allowed."""
    while line := file.readline(longest + 1):
        yield line
        rest = line if len(line) > longest else b"\n"
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(READ_BYTES)


def _source(place: str, line: bytes, metadata: Mapping[str, JsonValue]) -> Source:
    try:
        record = IngestionRecord.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        problem = f"{field}: {said}" if field else said
        shown = line[:_SHOWN].decode(errors="replace").strip()
        return Source(f"{place}: {shown}", no_parts, 0, problem=f"{problem}.")
    return Source(
        record.external_id or place,
        _parts(record),
        len(record.text),
        external_id=record.external_id,
        title=record.title,
        metadata=metadata if record.metadata is None else record.metadata,
        media_type=EXACT_TEXT,
        collection=record.collection,
    )


def _parts(record: IngestionRecord) -> Parts:
    return lambda: iter([record.text.encode()])
