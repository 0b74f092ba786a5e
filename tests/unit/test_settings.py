"""Settings: where they come from, and that a wrong one stops the start with its name."""

from pathlib import Path

import pytest

from corpus.errors import SettingsError
from corpus.settings import Settings


def test_defaults_need_nothing(work_folder: Path) -> None:
    """Without any setting the database is a SQLite file in the data folder."""
    settings = Settings.load()
    assert settings.effective_database_url == f"sqlite:///{work_folder / 'rag-data' / 'rag.sqlite3'}"


@pytest.mark.usefixtures("work_folder")
def test_the_environment_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A RAG_ variable sets the field of its name."""
    monkeypatch.setenv("RAG_MAX_UPLOAD_MB", "7")
    assert Settings.load().max_upload_mb == 7


def test_the_file_sets_and_the_environment_beats_it(
    work_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """rag.toml is read; a variable of the environment is stronger."""
    (work_folder / "rag.toml").write_text("max_upload_mb = 5\nqueue_size = 6\n")
    monkeypatch.setenv("RAG_QUEUE_SIZE", "9")
    settings = Settings.load()
    assert (settings.max_upload_mb, settings.queue_size) == (5, 9)


@pytest.mark.usefixtures("work_folder")
@pytest.mark.parametrize("name", ["RAG_MAX_UPLOAD", "rag_databaseurl", "RAG_"])
def test_an_unknown_variable_stops_the_start(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable is refused, and the message names it."""
    monkeypatch.setenv(name, "1")
    with pytest.raises(SettingsError, match=name):
        Settings.load()


def test_an_unknown_key_of_the_file_stops_the_start(work_folder: Path) -> None:
    """The same holds for rag.toml."""
    (work_folder / "rag.toml").write_text("max_uploads = 5\n")
    with pytest.raises(SettingsError, match="RAG_MAX_UPLOADS"):
        Settings.load()


def test_a_broken_file_stops_the_start(work_folder: Path) -> None:
    """A rag.toml that is no TOML is named with the reason."""
    (work_folder / "rag.toml").write_text("max_upload_mb = \n")
    with pytest.raises(SettingsError, match=r"rag\.toml.*line 1"):
        Settings.load()


@pytest.mark.usefixtures("work_folder")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RAG_MAX_UPLOAD_MB", "many"),
        ("RAG_QUEUE_SIZE", "0"),
        ("RAG_TRACE_DAYS", "1000000"),  # there is no such day
        ("RAG_PARSE_TIMEOUT_S", "inf"),
        ("RAG_PARSE_MEMORY_MB", "100000000000000"),
        ("RAG_CHAT_TIMEOUT_S", "inf"),
        ("RAG_LOG_FORMAT", "xml"),
        ("RAG_VECTOR_STORE", "chroma"),
        ("RAG_OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317"),
        ("RAG_OTEL_EXPORTER_OTLP_ENDPOINT", "http://name:password@collector:4318"),
    ],
)
def test_a_value_that_does_not_fit_stops_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong types, ranges and choices are refused, and the message names the setting."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.load()


@pytest.mark.usefixtures("work_folder")
def test_faiss_is_the_vector_store_by_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default may be named, and an address for Milvus beside it does no harm."""
    monkeypatch.setenv("RAG_VECTOR_STORE", "faiss")
    monkeypatch.setenv("RAG_MILVUS_URI", "http://milvus:19530")
    assert Settings.load().vector_store == "faiss"


@pytest.mark.parametrize("place", ["environment", "file"])
def test_milvus_is_refused_and_says_what_to_do(
    place: str, work_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that this version lacks stops the start, and is not replaced by another one in silence."""
    if place == "file":
        (work_folder / "rag.toml").write_text('vector_store = "milvus"\n')
    else:
        monkeypatch.setenv("RAG_VECTOR_STORE", "milvus")
    with pytest.raises(SettingsError, match=r"RAG_VECTOR_STORE=milvus: .* FAISS only; remove the setting"):
        Settings.load()
