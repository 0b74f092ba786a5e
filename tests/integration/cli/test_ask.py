"""`rag ask` and `rag chat` with a stand-in for the chat model, which quotes the first passage."""

import io
from pathlib import Path

import pytest

from tests.workplace import Workplace

TEXT = "Orson Kovacs keeps the generators of the station. Each burns 14 litres an hour."


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    """A workplace with one document taken in."""
    made = Workplace(tmp_path)
    made.write("guide.md", f"# Guide\n\n{TEXT}\n")
    assert made.rag("ingest", "documents").code == 0
    return made


def test_an_answer_comes_with_the_sentence_it_rests_on(place: Workplace) -> None:
    """The quote stands in the document, and in the output beside the document's title."""
    ended = place.rag("ask", "Who keeps the generators of the station?")
    assert ended.code == 0, ended.err
    assert "[1] Guide" in ended.out
    assert "“Orson Kovacs keeps the generators of the station.”" in ended.out


def test_json_is_the_response_of_the_http_interface(place: Workplace) -> None:
    """With --json every citation can be checked against the document's text."""
    answer = place.lines("ask", "Who keeps the generators of the station?")[0]
    assert answer["object"] == "answer"
    assert answer["status"] == "answered"
    content = place.rag("documents", "show", "guide.md", "--text").out
    citations = answer["citations"]
    assert isinstance(citations, list)
    assert citations
    for each in citations:
        assert content[each["source_start"] : each["source_end"]] == each["quote"]


def test_a_refusal_says_why(place: Workplace) -> None:
    """Where nothing fits, the status is a refusal with its reason, and the exit code is 0."""
    ended = place.rag("ask", "What is the capital of Mongolia?")
    assert ended.code == 0
    assert "(refused: no_evidence)" in ended.out


def test_without_retrieval_nothing_is_cited(place: Workplace) -> None:
    """`--mode never` asks the model alone."""
    answer = place.lines("ask", "Who keeps the generators of the station?", "--mode", "never")[0]
    assert answer["citations"] == []
    assert answer["passages"] == []


def test_many_questions_come_from_a_pipe(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """`rag ask -` answers one question a line, each under its question."""
    monkeypatch.setattr("sys.stdin", io.StringIO("Who keeps the generators?\n\nHow many litres an hour?\n"))
    ended = place.rag("ask", "-")
    assert [line for line in ended.out.splitlines() if line.startswith("> ")] == [
        "> Who keeps the generators?",
        "> How many litres an hour?",
    ]


def test_chat_goes_on_until_an_empty_line(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line is answered; what follows an empty line is not read."""
    monkeypatch.setattr(
        "sys.stdin", io.StringIO("Who keeps the generators?\nWho keeps the generators?\n\nAnd?\n")
    )
    ended = place.rag("chat")
    assert ended.code == 0, ended.err
    assert ended.out.count("[1] Guide") == 2


@pytest.mark.parametrize("question", ["", "  "])
def test_a_blank_question_is_wrong_usage(place: Workplace, question: str) -> None:
    """The message says what to write."""
    ended = place.rag("ask", question)
    assert ended.code == 2
    assert "question" in ended.err


def test_an_unknown_collection_is_named(place: Workplace) -> None:
    """The hint is the list of collections."""
    ended = place.rag("ask", "Who?", "--collection", "ruels")
    assert ended.code == 1
    assert "ruels" in ended.err


def test_a_replay_shows_what_changed(place: Workplace) -> None:
    """The same documents give the same answer; after a new version the lines that differ are shown."""
    question = "Who keeps the generators of the station?"
    trace = str(place.lines("ask", question)[0]["trace_id"])
    same = place.rag("replay", trace)
    assert (same.code, same.err) == (0, "")
    assert "Nothing changed." in same.out

    place.write("guide.md", f"# Guide\n\n{TEXT.replace('Orson Kovacs', 'Ilse Brandt')}\n")
    assert place.rag("ingest", "documents").code == 0
    other = place.rag("replay", trace)
    lines = other.out.splitlines()
    was = next(number for number, line in enumerate(lines) if line.startswith("- Orson Kovacs"))
    assert lines.index("answer") < was < lines.index("passages")
    assert any(line.startswith("+ Ilse Brandt") for line in lines)
    (told,) = place.lines("replay", trace)
    assert {"answer", "passages", "citations", "prompt"} <= set(told["changed"])  # type: ignore[call-overload]

    missing = place.rag("replay", "trc_none")
    assert missing.code == 1
    assert "trc_none" in missing.err
