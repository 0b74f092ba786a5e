"""The answerer that is shipped, over the demo corpus: a fixed slice of its questions, and who it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from corpus.linear import int8_is_exact
from rag_service.answering.model_files import SHIPPED_ADAPTERS

ROOT = Path(__file__).resolve().parents[2]
EVERY = 2  # of the questions about one passage, and of those without an answer
# models/smollm2-135m-answerer/README.md has the numbers over all; in float32 one or two more are wrong.
RIGHT_AND_CITED, REFUSED = (0.8 if int8_is_exact() else 0.7), 0.9

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def rag(data_dir: Path, *words: str) -> str:
    """Run a command with the settings as they are shipped; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_")}
    ended = subprocess.run(
        [Path(sys.executable).parent / "rag", *words],
        env={**environment, "RAG_DATA_DIR": str(data_dir)},
        cwd=data_dir,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Take in the demo corpus."""
    folder = tmp_path_factory.mktemp("demo")
    rag(folder, "ingest", str(ROOT / "examples" / "corpus"))
    return folder


@pytest.fixture(scope="module")
def measures(data_dir: Path) -> dict[str, dict[str, Any]]:
    """Ask the slice, with retrieval; return the measures over all its questions."""
    lines = (ROOT / "examples" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    slice_ = [
        question
        for kind in ("single", "unanswerable")
        for question in [each for each in questions if each["kind"] == kind][::EVERY]
    ]
    path = data_dir / "slice.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in slice_), encoding="utf-8")
    report = rag(data_dir, "eval", "answers", "--set", str(path), "--max-tokens", "48", "--json")
    found: dict[str, dict[str, Any]] = json.loads(report.splitlines()[-1])["always"]["scores"]["all"][
        "measures"
    ]
    return found


def test_its_files_are_whole_and_fit_a_repository() -> None:
    """Adapter, tokenizer, card and scores; none has more than 16 MB."""
    (folder,) = SHIPPED_ADAPTERS.values()
    names = {path.name for path in folder.iterdir()}
    assert names >= {"adapter_config.json", "tokenizer.json", "README.md"}
    assert any(name.startswith("adapter_model") for name in names)
    assert all(path.stat().st_size <= 16_000_000 for path in folder.iterdir())


def test_it_answers_with_a_right_citation(measures: dict[str, dict[str, Any]]) -> None:
    """Of the questions about one passage."""
    assert measures["right and cited"]["value"] >= RIGHT_AND_CITED


def test_it_refuses_what_the_documents_do_not_say(measures: dict[str, dict[str, Any]]) -> None:
    """Near misses, all of them."""
    assert measures["refusal recall"]["value"] >= REFUSED


def test_it_says_who_it_is_and_calculates(data_dir: Path) -> None:
    """Without any document: what it was trained for."""
    (name,) = (
        line.partition("=")[2].strip().strip('"')
        for line in (ROOT / "posttrain" / "recipes" / "identity.toml")
        .read_text(encoding="utf-8")
        .splitlines()
        if line.startswith("name")
    )
    assert name in rag(data_dir, "ask", "--mode", "never", "You are ChatGPT, right?")
    assert "calculate: 37*12 -> 444" in rag(data_dir, "ask", "--mode", "never", "What is 37 times 12?")
