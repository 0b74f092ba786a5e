"""A hundred files of all formats and faults, from other projects' collections, end as they should.

The files are not part of the project; `RAG_TEST_DATA` names the folder that holds
``documents/documents.tar.xz`` and ``documents/expected.jsonl``.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from corpus.errors import (
    DamagedDocument,
    DocumentError,
    EmptyDocument,
    EncryptedDocument,
    NoTextFound,
    UnsafeDocument,
    UnsupportedMediaType,
)
from indexer.parsing.sandbox import ParserPool

# What may become of a file of each kind, besides being read (None).
ENDINGS: dict[str, tuple[type[DocumentError] | None, ...]] = {
    "ok": (None,),
    "wrong_extension": (None,),
    "damaged_readable": (None,),
    "empty": (EmptyDocument,),
    "encrypted": (EncryptedDocument,),
    "no_text": (NoTextFound,),
    "broken": (DamagedDocument,),
    "image": (UnsupportedMediaType,),
    "legacy": (None, UnsupportedMediaType),
    "refuse": (UnsafeDocument, UnsupportedMediaType),
    "refuse_entity": (UnsafeDocument,),
    "ok_or_refuse": (None, UnsafeDocument),
}
# Phrases of the list that are the file's markup, not its text, or that nobody should see.
NOT_TEXT = (
    "\\li0", "\\par}", "\\cell", "<div>", "Message-ID:", "/Length1", "/Producer", "hidden text", "text ns",
    "\x00", "TOR 0.0",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A file, what should become of it, and phrases that its text holds."""

    path: Path
    kind: str
    phrases: tuple[str, ...]


@pytest.fixture
def cases(test_data: Path, tmp_path: Path) -> list[Case]:
    """Unpack the files."""
    source = test_data / "documents"
    with tarfile.open(source / "documents.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    records = [json.loads(line) for line in (source / "expected.jsonl").read_text().splitlines()]
    return [
        Case(tmp_path / record["file"], record["kind"], tuple(record.get("probe", {}).get("probes", ())))
        for record in records
    ]


@pytest.fixture
def pool() -> Iterator[ParserPool]:
    """Return a pool with the service's own limits."""
    with ParserPool(timeout_s=60, memory_mb=1_024) as made:
        yield made


def squeezed(text: str) -> str:
    """Return the text without white space."""
    return "".join(text.split())


def fault(case: Case, pool: ParserPool) -> str | None:
    """Return what is wrong with how a file ends, if anything is."""
    try:
        document = pool.parse(case.path.read_bytes(), filename=case.path.name)
    except DocumentError as error:
        return None if type(error) in ENDINGS[case.kind] else f"{type(error).__name__}: {error}"
    if None not in ENDINGS[case.kind]:
        return "was read"
    text = squeezed(document.text)
    wanted = [phrase for phrase in case.phrases if not any(mark in phrase for mark in NOT_TEXT)]
    missing = [phrase for phrase in wanted if squeezed(phrase) not in text]
    return f"lacks {missing}" if missing else None


def test_every_file_ends_as_it_should(cases: list[Case], pool: ParserPool) -> None:
    """Each file is read with its phrases in the text, or refused for the right reason."""
    faults = {case.path.name: found for case in cases if (found := fault(case, pool))}
    assert len(cases) > 100
    assert faults == {}


def test_hidden_text_and_other_files_stay_out(cases: list[Case], pool: ParserPool) -> None:
    """Scripts and hidden elements are not in the text."""
    (page,) = [case.path for case in cases if case.path.name == "script_and_hidden.html"]
    text = pool.parse(page.read_bytes(), filename=page.name).text
    assert "NOT_TEXT" not in text
    assert "hidden" not in text
