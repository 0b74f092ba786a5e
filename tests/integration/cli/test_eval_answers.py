"""`rag eval answers` with a stand-in for the chat model, which quotes the first passage."""

import json
from pathlib import Path

import pytest

from tests.workplace import Workplace

SENTENCE = "Orson Kovacs keeps the generators of the station."
TEXT = f"# Guide\n\n{SENTENCE} Each burns 14 litres an hour.\n"
QUESTIONS = [
    {
        "id": "q1",
        "kind": "single",
        "question": "Who keeps the generators of the station?",
        "answerable": True,
        "answers": ["Orson Kovacs"],
        "gold_documents": ["guide.md"],
        "gold_quotes": [SENTENCE],
    },
    {
        "id": "q2",
        "kind": "unanswerable",
        "question": "What is the capital of Mongolia?",
        "answerable": False,
    },
]


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workplace with one document taken in and a set of two questions."""
    made = Workplace(tmp_path)
    made.write("guide.md", TEXT)
    assert made.rag("ingest", "documents").code == 0
    (tmp_path / "set.jsonl").write_text("\n".join(map(json.dumps, QUESTIONS)))
    return made


def test_scores_with_and_without_retrieval_stand_side_by_side(place: Workplace, tmp_path: Path) -> None:
    """With the document the answer is right, cited and the other question refused; without it, neither."""
    ended = place.rag("eval", "answers", "--set", str(tmp_path / "set.jsonl"))
    assert ended.code == 0, ended.err
    rows = {line.split("  ")[0]: line for line in ended.out.split("\n\n")[0].splitlines()}
    for measure in ("contains gold", "refusal recall", "right and cited"):
        with_retrieval, without_retrieval = (rows[measure].count(value) for value in ("1.00 [", "0.00 ["))
        assert (with_retrieval, without_retrieval) == (1, 1), rows[measure]
    assert "4 of 4 answered" in ended.err


def test_json_lines_end_with_the_report(place: Workplace, tmp_path: Path) -> None:
    """Progress first; the last line has the scores, and each reply with its citations judged."""
    lines = place.lines("eval", "answers", "--set", str(tmp_path / "set.jsonl"))
    assert lines[0] == {"done": 0, "total": 4}
    report = lines[-1]
    assert list(report) == ["always", "never"]
    [first, second] = report["always"]["outcomes"]
    assert {"document": "guide.md", "quote": SENTENCE, "right": True} in first["citations"]
    assert (second["refused"], second["reason"]) == (True, "no_evidence")


@pytest.mark.parametrize("mode", ["always", "never"])
def test_one_round_may_be_asked_alone(place: Workplace, tmp_path: Path, mode: str) -> None:
    """The other is not asked; the text has its column alone."""
    words = ("eval", "answers", "--set", str(tmp_path / "set.jsonl"), "--mode", mode)
    lines = place.lines(*words)
    assert lines[0] == {"done": 0, "total": 2}
    assert list(lines[-1]) == [mode]
    rows = {line.split("  ")[0]: line for line in place.rag(*words).out.split("\n\n")[0].splitlines()}
    assert rows["contains gold"].count("[") == 1


def test_a_file_that_is_no_set_is_told(place: Workplace, tmp_path: Path) -> None:
    """The message names file and line; nothing is loaded for it."""
    (tmp_path / "set.jsonl").write_text('{"id": "q1"}\n')
    ended = place.rag("eval", "answers", "--set", str(tmp_path / "set.jsonl"))
    assert ended.code == 2
    assert "set.jsonl, line 1" in ended.err
