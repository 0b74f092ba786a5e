"""`rag-train` from public files to an adapter, on a tiny model."""

import json
from pathlib import Path

import pytest

from posttrain.cli import main
from posttrain.data.files import read_records
from rag_service.answering.markers import NEW_TOKENS
from rag_service.answering.vocabulary import Vocabulary
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def run(*words: object) -> int:
    """Run a command in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Return a file of imported arithmetic records."""
    rows = [
        {"question": f"What is {n} and {n}?", "answer": f"It is <<{n}+{n}={2 * n}>>{2 * n}.\n#### {2 * n}"}
        for n in range(60)
    ]
    source = tmp_path / "gsm8k.jsonl"
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert run("data", "import", "gsm8k", source, "--out", tmp_path / "records.jsonl") == 0
    return tmp_path / "records.jsonl"


def test_import_mix_train(records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every stage runs for real; at the end there is an adapter with its tokenizer."""
    monkeypatch.setenv("RAG_DATA_DIR", str(tmp_path / "data"))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("records = 30\n[shares]\ncalculate = 1.0\n", encoding="utf-8")
    assert run("mix", records, "--recipe", recipe, "--out", tmp_path / "mixed") == 0
    base = write_tiny_model(tmp_path / "base")
    options = ("--model", base, "--out", tmp_path / "adapter", "--max-length", 128, "--first-layer", 1)
    assert run("sft", tmp_path / "mixed", *options) == 0
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= names


def test_stats_call_a_leak_an_error(records: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Records that quote an evaluation set end the command with exit code 1 and their names."""
    assert run("data", "stats", records) == 0
    assert json.loads(capsys.readouterr().out)["by_task"] == {"calculate": 60}
    assert run("data", "stats", records, "--against", records) == 0  # all shorter than 13 words in a row
    long = records.with_name("long.jsonl")
    text = " ".join(f"word{n}" for n in range(20))
    line = {"id": "a", "task": "chat", "split": "test", "messages": [{"role": "user", "content": text}]}
    long.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert run("data", "stats", long, "--against", long) == 1
    assert "a shares 13 words" in capsys.readouterr().err


def test_inspect_shows_what_the_loss_counts(
    records: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The terminal form has the markers and the counts; the page has a span a token, escaped."""
    base = write_tiny_model(tmp_path / "base")
    assert run("inspect", records, "--model", base) == 0
    shown = capsys.readouterr().out
    assert "<CALC_START>" in shown
    assert "of them in the loss" in shown
    page = tmp_path / "page.html"
    assert run("data", "inspect", records, "--model", base, "--html", page) == 0
    assert "&lt;CALC_START&gt;" in page.read_text(encoding="utf-8")


def test_check_holds_every_record_against_what_is_served(
    records: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records of the renderer pass; with an adapter of another tokenizer each one is named."""
    monkeypatch.setenv("RAG_DATA_DIR", str(tmp_path / "data"))
    base = write_tiny_model(tmp_path / "base")
    assert run("data", "inspect", records, "--model", base, "--check") == 0
    assert "60 records: trained and served with the same ids" in capsys.readouterr().out
    other = tmp_path / "other"
    other.mkdir()
    own = Vocabulary.from_file(base / "tokenizer.json")
    own.with_control_tokens(reversed(NEW_TOKENS)).save(other / "tokenizer.json")
    assert run("data", "inspect", records, "--model", base, "--check", "--adapter", other) == 1
    assert "60 of 60 records are served otherwise" in capsys.readouterr().err


def test_mix_leaves_out_what_leaks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And says how many of which task, so that one that is gone whole is noticed."""
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("records = 30\n[shares]\nchat = 1.0\n", encoding="utf-8")
    lines = []
    for name in ("kept", "leaking"):
        text = " ".join(f"{name}{n}" for n in range(20))
        turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]
        lines.append(json.dumps({"id": name, "task": "chat", "split": "train", "messages": turns}))
    both, held = tmp_path / "both.jsonl", tmp_path / "held.jsonl"
    both.write_text("\n".join(lines) + "\n", encoding="utf-8")
    held.write_text(lines[1].replace("train", "test") + "\n", encoding="utf-8")
    out = tmp_path / "mixed"
    assert run("mix", both, "--recipe", recipe, "--out", out, "--against", held) == 0
    assert "chat: 1 records left out" in capsys.readouterr().out
    assert [record.id for record in read_records(out / "train.jsonl")] == ["kept"]
