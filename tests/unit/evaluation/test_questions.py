"""Files of questions are read strictly."""

import json
from pathlib import Path

import pytest

from corpus.errors import InvalidRecord
from rag_service.answering.conversation import assistant, user
from rag_service.evaluation.questions import Evidence, read_questions

GOOD = {
    "id": "q1",
    "kind": "single",
    "question": "Who?",
    "answerable": True,
    "answers": ["Orson Kovacs"],
    "gold_documents": ["people.html"],
    "gold_quotes": ["Orson Kovacs is the keeper."],
}


def write(path: Path, *records: object) -> Path:
    """Write one JSON value a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def test_a_question_is_read_with_its_evidence(tmp_path: Path) -> None:
    """Documents and quotes pair up."""
    [question] = read_questions(write(tmp_path / "set.jsonl", GOOD))
    assert question.text == "Who?"
    assert question.answerable
    assert question.evidence == (Evidence("people.html", "Orson Kovacs is the keeper."),)


def test_a_line_separator_within_a_question_is_no_end_of_line(tmp_path: Path) -> None:
    """JSON may hold one as it is, and JavaScript writes it so."""
    line = json.dumps(GOOD | {"question": "Who?\u2028Really?"}, ensure_ascii=False)
    (tmp_path / "set.jsonl").write_text(line, encoding="utf-8")
    [question] = read_questions(tmp_path / "set.jsonl")
    assert question.text == "Who?\u2028Really?"


def test_a_follow_up_keeps_its_history(tmp_path: Path) -> None:
    """The last message is the question."""
    turns = [("user", "Who?"), ("assistant", "Orson."), ("user", "Since when?")]
    record = {key: value for key, value in GOOD.items() if key != "question"}
    record["messages"] = [{"role": role, "content": content} for role, content in turns]
    [question] = read_questions(write(tmp_path / "set.jsonl", record))
    assert question.messages == (user("Who?"), assistant("Orson."), user("Since when?"))
    assert question.text == "Since when?"


def test_an_unanswerable_question_has_no_gold(tmp_path: Path) -> None:
    """Answers and evidence may be left out."""
    record = {"id": "q2", "kind": "unanswerable", "question": "Who?", "answerable": False}
    [question] = read_questions(write(tmp_path / "set.jsonl", record))
    assert not question.answerable
    assert question.evidence == ()


@pytest.mark.parametrize(
    "change",
    [
        {"answerable": False},
        {"answers": "Orson Kovacs"},
        {"gold_quotes": []},
        {"question": None, "messages": []},
        {"messages": "Who?", "question": None},
    ],
)
def test_a_wrong_field_is_told_with_its_line(tmp_path: Path, change: dict[str, object]) -> None:
    """The error names file and line."""
    record = {key: value for key, value in (GOOD | change).items() if value is not None}
    with pytest.raises(InvalidRecord, match=r"set\.jsonl, line 2"):
        read_questions(write(tmp_path / "set.jsonl", GOOD, record))


def test_a_line_that_is_no_json_is_told(tmp_path: Path) -> None:
    """The error says that it is no question."""
    path = tmp_path / "set.jsonl"
    path.write_text("Who?\n", encoding="utf-8")
    with pytest.raises(InvalidRecord, match="line 1 is no question"):
        read_questions(path)


def test_a_line_that_is_no_object_is_told(tmp_path: Path) -> None:
    """A list is no question."""
    with pytest.raises(InvalidRecord, match="line 1"):
        read_questions(write(tmp_path / "set.jsonl", ["Who?"]))


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    """A set without questions would score nothing."""
    with pytest.raises(InvalidRecord, match="holds no questions"):
        read_questions(write(tmp_path / "set.jsonl"))
