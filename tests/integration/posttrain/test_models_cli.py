"""`rag models` with a real adapter of a tiny model."""

import json
from pathlib import Path

import pytest

from posttrain.trainee import Lora, load_trainee
from rag_service.answering.chat_model import ChatModel
from rag_service.cli import main
from rag_service.cli.workplace import open_service
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def rag(*words: object) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def answering() -> str:
    """Return the name of the model with which a service would start now."""
    with open_service() as service:
        model: ChatModel = service.chat_model.make()
        return model.name


def published(folder: Path, base: Path, gold: float) -> Path:
    """Write an adapter's folder as a release brings it."""
    load_trainee(base, Lora(rank=2, alpha=4)).save(folder)
    scores = {"contains gold": {"value": gold, "low": gold - 0.1, "high": gold + 0.1, "count": 9}}
    (folder / "evaluation.json").write_text(json.dumps(scores), encoding="utf-8")
    return folder


def test_a_published_folder_is_registered_activated_and_left_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The model of the settings, a folder, a worse one only by force, and back twice."""
    base = write_tiny_model(tmp_path / "tiny")
    monkeypatch.setenv("RAG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RAG_CHAT_MODEL", str(base))
    good, weak = (published(tmp_path / name, base, gold) for name, gold in (("good", 0.9), ("weak", 0.2)))
    assert answering() == "tiny"
    assert rag("models", "activate", good) == 0
    assert answering() == "tiny+good"
    assert rag("models", "activate", weak) == 1
    assert "contains gold is 0.20" in capsys.readouterr().err
    assert rag("models", "activate", weak, "--force") == 0
    assert answering() == "tiny+weak"
    assert rag("models", "rollback") == 0
    assert answering() == "tiny+good"
    capsys.readouterr()
    assert rag("models", "list", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["name"], row["active"]) for row in rows] == [("good", True), ("weak", False)]


def test_an_adapter_of_another_base_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither registered nor active: the service goes on with what it has."""
    base = write_tiny_model(tmp_path / "tiny")
    monkeypatch.setenv("RAG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RAG_CHAT_MODEL", str(base))
    folder = published(tmp_path / "other", base, 0.9)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    changed = json.dumps(config | {"base_sha256": "0" * 64})
    (folder / "adapter_config.json").write_text(changed, encoding="utf-8")
    assert rag("models", "activate", folder) == 1
    assert "trained on another model" in capsys.readouterr().err
    assert rag("models", "activate", "nothing") == 1
    assert "no model 'nothing'" in capsys.readouterr().err
    assert answering() == "tiny"


def test_a_moved_folder_is_found_and_a_changed_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name stays with the files that were registered under it, wherever they lie."""
    base = write_tiny_model(tmp_path / "tiny")
    monkeypatch.setenv("RAG_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RAG_CHAT_MODEL", str(base))
    folder = published(tmp_path / "one" / "good", base, 0.9)
    assert rag("models", "activate", folder) == 0
    moved = tmp_path / "two" / "good"
    moved.parent.mkdir()
    folder.rename(moved)
    assert rag("models", "rollback") == 0
    assert rag("models", "activate", moved) == 0
    assert answering() == "tiny+good"
    config = json.loads((moved / "adapter_config.json").read_text(encoding="utf-8"))
    (moved / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 8}), encoding="utf-8")
    assert rag("models", "activate", moved) == 1
    assert rag("models", "activate", "good") == 1
    told = capsys.readouterr().err
    assert "Another model is registered" in told
    assert "changed since" in told
