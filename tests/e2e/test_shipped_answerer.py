"""The answerer that is shipped, over the demo corpus: a fixed slice of its questions, and who it is."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from corpus.collections import DEFAULT_COLLECTION
from corpus.linear import int8_is_exact
from rag_service.answering.answer import AnswerRequest
from rag_service.answering.chat_model import Sampling
from rag_service.answering.model_files import SHIPPED_ADAPTERS
from rag_service.cli import main
from rag_service.cli.ask import make_answerer
from rag_service.cli.workplace import open_service
from rag_service.evaluation.answers import ALL_KINDS, evaluate_answers
from rag_service.evaluation.asking import ask_answerer
from rag_service.evaluation.measures import Estimate
from rag_service.evaluation.questions import read_questions

ROOT = Path(__file__).resolve().parents[2]
EVERY = 2  # of the questions about one passage, and of those without an answer
# models/smollm2-135m-answerer/README.md has the numbers over all; in float32 one or two more are wrong.
RIGHT_AND_CITED, REFUSED = (0.8 if int8_is_exact() else 0.7), 0.9

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def rag(*words: str) -> None:
    """Run a command in this process, which has torch already."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert not ended.value.code


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, converted_models: Path) -> Iterator[Path]:
    """Take in the demo corpus; the settings are those that are shipped, but for this folder."""
    folder = tmp_path_factory.mktemp("demo")
    (folder / "models").symlink_to(converted_models)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("RAG_DATA_DIR", str(folder))
        rag("ingest", str(ROOT / "examples" / "corpus"))
        yield folder


@pytest.fixture(scope="module")
def measures(data_dir: Path) -> Mapping[str, Estimate]:
    """Ask the slice as `rag eval answers` does, but only with retrieval; return the measures of them all."""
    questions = read_questions(ROOT / "examples" / "questions.jsonl")
    slice_ = [
        question
        for kind in ("single", "unanswerable")
        for question in [each for each in questions if each.kind == kind][::EVERY]
    ]
    like = AnswerRequest((), collections=(DEFAULT_COLLECTION,), sampling=Sampling(max_tokens=48))
    with open_service() as service:
        assert service.generations_dir.is_relative_to(data_dir)
        make_answerer(service)
        (report,) = evaluate_answers(slice_, ask_answerer(service.answerer.get(), like), modes=("always",))
    (scores,) = (each for each in report.scores if each.kind == ALL_KINDS)
    return scores.measures


def test_its_files_are_whole_and_fit_a_repository() -> None:
    """Adapter, tokenizer, card and scores; none has more than 16 MB."""
    (folder,) = SHIPPED_ADAPTERS.values()
    names = {path.name for path in folder.iterdir()}
    assert names >= {"adapter_config.json", "tokenizer.json", "README.md"}
    assert any(name.startswith("adapter_model") for name in names)
    assert all(path.stat().st_size <= 16_000_000 for path in folder.iterdir())


def test_it_answers_with_a_right_citation(measures: Mapping[str, Estimate]) -> None:
    """Of the questions about one passage."""
    assert measures["right and cited"].value >= RIGHT_AND_CITED


def test_it_refuses_what_the_documents_do_not_say(measures: Mapping[str, Estimate]) -> None:
    """Near misses, all of them."""
    assert measures["refusal recall"].value >= REFUSED


def test_it_says_who_it_is_and_calculates(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without any document: what it was trained for."""
    assert data_dir == Path.cwd()
    (name,) = (
        line.partition("=")[2].strip().strip('"')
        for line in (ROOT / "posttrain" / "recipes" / "identity.toml")
        .read_text(encoding="utf-8")
        .splitlines()
        if line.startswith("name")
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("You are ChatGPT, right?\nWhat is 37 times 12?\n"))
    rag("ask", "--mode", "never", "-")
    who, what = capsys.readouterr().out.removeprefix("> ").split("\n> ")
    assert name in who
    assert "calculate: 37*12 -> 444" in what


def test_it_takes_questions_apart(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two, and of the time of an event: with the sentence of each step."""
    assert data_dir == Path.cwd()
    questions = (
        "Which generator burns more, Agnes or Bertil?\n"
        "Who led the station in the year of the lowest temperature ever measured there?\n"
    )
    for question in questions.splitlines():
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{question}\n"))
        rag("ask", "-")
    said = " ".join(capsys.readouterr().out.split())
    assert "Bertil [1] [2]." in said
    assert "Agnes burns 13 litres of diesel an hour" in said
    assert "Rosalind Achterberg [1] [2]." in said
    assert "on 9 July 1987" in said
