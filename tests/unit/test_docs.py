"""What the documents say is held against the code."""

import re
from pathlib import Path

import pytest

from corpus.settings import PREFIX, Settings
from tests.commands import FENCE, faults, written_commands

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
ROW = re.compile(r"^\| `(RAG_\w+)` \| (?:`([^`]*)`)? ?\|", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)(?:#[^)]*)?\)")


def documented_settings() -> dict[str, str]:
    """Return name and default of each row of the settings' table."""
    return dict(ROW.findall((ROOT / "docs" / "configuration.md").read_text()))


def test_every_setting_is_documented_and_every_documented_one_exists() -> None:
    """docs/configuration.md and Settings name the same settings."""
    assert set(documented_settings()) == {PREFIX + name.upper() for name in Settings.model_fields}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_documented_defaults_are_the_code_s(name: str) -> None:
    """The table's default is the field's default."""
    default = Settings.model_fields[name].default
    plain = int(default) if isinstance(default, float) and default.is_integer() else default
    written = str(plain).lower() if isinstance(plain, bool) else str(plain)
    assert documented_settings()[PREFIX + name.upper()] == written


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    """Every relative link points at a file of this repository."""
    missing = [link for link in LINK.findall(path.read_text()) if not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_show_only_commands_that_exist(path: Path) -> None:
    """Every `rag` command in a console block, or in backquotes, exists with its options."""
    text = path.read_text()
    blocks = "\n".join(FENCE.findall(text))
    quoted = "\n".join(re.findall(r"`(rag [^`]+)`", text))
    problems = [fault for words in written_commands(f"{blocks}\n{quoted}") for fault in faults(words)]
    assert not problems


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_name_only_settings_that_exist(path: Path) -> None:
    """Every RAG_ variable in prose or examples is a setting."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    named = set(re.findall(r"\bRAG_[A-Z_]*[A-Z]\b", path.read_text()))
    assert named <= known | {"RAG_TEST_DATA"}


def test_hints_of_the_program_name_only_commands_that_exist() -> None:
    """Errors and docstrings that say "run `rag …`" name real commands and options."""
    problems = [
        (str(path.relative_to(ROOT)), fault)
        for package in ("corpus", "indexer", "rag_service")
        for path in (ROOT / package).rglob("*.py")
        for quoted in re.findall(r"`(rag [a-z][^`{}]*)`", path.read_text())
        for words in written_commands(quoted)
        for fault in faults(words)
    ]
    assert not problems


def test_decision_records_have_a_number_of_their_own_and_three_parts() -> None:
    """Each of docs/decisions/ begins with its number and has context, decision and consequences."""
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert len({record.name[:4] for record in records}) == len(records)
    for record in records:
        text = record.read_text()
        assert text.startswith(f"# {int(record.name[:4])}. "), record.name
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequences")), record.name
