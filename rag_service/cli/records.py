"""Lines of JSON as documents: ``{"text", "title", "external_id", "metadata", "collection"}``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rag_service.cli.sources import Parts, Source, no_parts

if TYPE_CHECKING:
    from rag_service.api.schemas.jobs import IngestionRecord

_SHOWN = 60


def has_lines(path: Path) -> bool:
    """Tell a file of records by its name."""
    return path.suffix.lower() in {".jsonl", ".ndjson"}


def lines(path: Path) -> Iterator[Source]:
    """Yield one document a line, blank ones left out; memory does not grow with the file."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _source(f"{path.name}, line {number}", line)


def _source(place: str, line: bytes) -> Source:
    from pydantic import ValidationError

    from indexer.uploads import EXACT_TEXT
    from rag_service.api.schemas.jobs import IngestionRecord

    try:
        record = IngestionRecord.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        problem = f"{field}: {first['msg']}" if field else first["msg"]
        shown = line[:_SHOWN].decode(errors="replace").strip()
        return Source(f"{place}: {shown}", no_parts, 0, problem=f"{problem}.")
    return Source(
        record.external_id or place,
        _parts(record),
        len(record.text),
        external_id=record.external_id,
        title=record.title,
        metadata=record.metadata,
        media_type=EXACT_TEXT,
        collection=record.collection if "collection" in record.model_fields_set else None,
    )


def _parts(record: "IngestionRecord") -> Parts:
    return lambda: iter([record.text.encode()])
