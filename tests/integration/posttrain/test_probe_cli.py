"""`rag-train probe` on a tiny model: all files are written, and a second run asks nothing again."""

import json
from pathlib import Path

import pytest

from posttrain.cli import main
from tests.tiny_models import write_tiny_model


def test_probe_writes_records_and_a_report_and_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model with random weights knows nothing: every question becomes a refusal."""
    monkeypatch.setenv("RAG_DATA_DIR", str(tmp_path / "data"))
    base = write_tiny_model(tmp_path / "base", tie_word_embeddings=False)
    questions = tmp_path / "questions.jsonl"
    rows = [{"question": f"Who is {n}?", "answers": [f"cook {n}"], "pop": n} for n in range(5)]
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = ("probe", questions, "--model", base, "--out", tmp_path / "out", "--max-tokens", 4, "--draws", 2)
    for expected in ("probed 5 of 5", "probed 5 of 5"):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert not ended.value.code
        assert expected in capsys.readouterr().out
    records = (tmp_path / "out" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["task"] for line in records} == {"probe_refuse"}
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert report["everything"]["unknown"] == len(records) == 5
    assert len(report["popularity"]) == 4
    assert len((tmp_path / "out" / "results.jsonl").read_text(encoding="utf-8").splitlines()) == 6
