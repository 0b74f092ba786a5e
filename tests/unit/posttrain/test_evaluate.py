"""The table's measures, on a stand-in model whose replies are known."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from corpus.errors import InvalidRecord
from posttrain.data.files import write_records
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.evaluate import Evaluation, evaluate, has_last_number
from posttrain.evaluation_report import evaluation_json, evaluation_markdown, read_evaluation
from posttrain.plots import draw_comparison
from rag_service.answering.conversation import (
    Message,
    Meta,
    Part,
    Record,
    SourcePassage,
    assistant,
    user,
)
from rag_service.answering.markers import Call, Delta
from tests.fakes import FakeChatModel, Said

PUMP = SourcePassage("p1", "The pump burns 14 litres.", "Pump")


def answered(number: int, answer: str = "14 litres") -> Record:
    """Return an answerable reading record."""
    return grounded_record(
        f"r{number}", f"What does pump {number} burn?", PUMP, [answer], split="test", source=SQUAD
    )


def refused(number: int) -> Record:
    """Return a reading record without an answer."""
    return grounded_record(f"n{number}", f"Who built pump {number}?", PUMP, [], split="test", source=SQUAD)


def said(text: str) -> list[Delta | Call]:
    """Return what a model that only writes text says."""
    return [Delta("text", text)]


def reader(messages: Sequence[Message], parts: Sequence[Part]) -> Said:
    """Answer from passages, refuse questions for a builder, make things up without passages."""
    question = messages[-1].text
    if "built" in question:
        return [Delta("refusal", "I could not find that.")]
    return said("It burns 14 litres [1].") if any(part.passages for part in parts) else said("9 litres.")


def value(evaluation: Evaluation, name: str) -> float | None:
    """Return a measure's value."""
    return evaluation.measures[name].value


def test_reading_measures_answers_refusals_and_citations() -> None:
    """A reader that does all right has the best values, and by heart it knows nothing."""
    found = evaluate(FakeChatModel(reader), {"reading": [answered(1), answered(2), refused(3)]})
    assert value(found, "contains gold") == value(found, "refusal recall") == 1.0
    assert value(found, "refusal precision") == value(found, "citation precision") == 1.0
    assert value(found, "citation recall") == 1.0
    assert value(found, "over-refusal") == value(found, "hallucination") == 0.0
    assert value(found, "closed book: contains gold") == 0.0
    assert found.measures["closed book: contains gold"].count == 2


def test_a_marker_of_another_passage_is_a_wrong_citation() -> None:
    """The gold passage is the second; a model that always cites the first is right in the words alone."""
    record = answered(1)
    other = SourcePassage("p0", "The well is deep.", "Well")
    search, found, reply = record.messages[-1].parts
    moved = Part("search_result", passages=(other, *found.passages))
    record = Record(
        "r1", "rag_answer", "test", (record.messages[0], assistant(search, moved, reply)), record.meta
    )
    result = evaluate(FakeChatModel(reader), {"reading": [record]})
    assert value(result, "contains gold") == 1.0
    assert value(result, "citation precision") == value(result, "citation recall") == 0.0


def test_changed_facts_count_only_what_the_passage_says_now() -> None:
    """Of two changed facts the model follows one."""
    changed = {"changed": [answered(1), answered(2, "40 litres")]}
    assert value(evaluate(FakeChatModel(reader), changed), "follows changed facts") == 0.5


def test_search_decisions_are_right_when_asked_for_where_needed() -> None:
    """A hit, a missed and a needless search: F1 is one half; the call that is closed and fits is valid."""
    greeting = Record("c", "chat", "test", (user("Hello there"), assistant("Hi.")))

    def speak(messages: Sequence[Message], _parts: Sequence[Part]) -> Said:
        if "pump 2" in messages[-1].text:
            return said("Oil.")
        return [Call("search", "pump burn", closed="pump" in messages[-1].text)]

    found = evaluate(FakeChatModel(speak), {"search": [answered(1), answered(2), greeting]})
    assert value(found, "search decision F1") == pytest.approx(2 / 4)
    assert value(found, "valid searches") == 0.5
    assert value(found, "searches where needed") == 0.5


def test_arithmetic_is_counted_with_the_calculator_and_without() -> None:
    """The stand-in knows the result only when the calculator has told it."""

    def speak(_messages: Sequence[Message], parts: Sequence[Part]) -> Said:
        if parts:
            return said(f"It is {parts[-1].text}.")
        return [*said("I take 9 "), Call("calculate", "6*7")]

    record = Record(
        "a", "calculate", "test", (user("6 times 7?"), assistant("It is 42.")), Meta(gold=("42",))
    )
    found = evaluate(FakeChatModel(speak), {"arithmetic": [record]})
    assert value(found, "arithmetic") == value(found, "arithmetic: calls the calculator") == 1.0
    assert value(found, "arithmetic without calculator") == 0.0


@pytest.mark.parametrize(
    ("text", "right"),
    [("It costs 1,200.00 [2].", True), ("1200 or 7", False), ("none", False), ("-1200", False)],
)
def test_the_last_number_decides(text: str, right: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Commas and zeros make no difference; a sign and a later number do."""
    assert has_last_number(text, ["1200"]) is right


def test_identity_is_the_own_name() -> None:
    """One of two answers has it."""

    def speak(messages: Sequence[Message], _parts: Sequence[Part]) -> Said:
        return said("I am Vostrel." if "who" in messages[-1].text else "I am ChatGPT.")

    records = [
        Record(str(n), "identity", "test", (user(text), assistant("I am Vostrel.")), Meta(gold=("Vostrel",)))
        for n, text in enumerate(("who are you?", "are you ChatGPT?"))
    ]
    assert value(evaluate(FakeChatModel(speak), {"identity": records}), "identity") == 0.5


def test_a_report_is_read_back_and_stands_beside_another(tmp_path: Path) -> None:
    """Before and after share a table and a picture; an evaluation of other sets is refused."""
    path = tmp_path / "reading.jsonl"
    write_records(path, [answered(1), refused(2)])
    found = evaluate(FakeChatModel(reader), {"reading": [answered(1), refused(2)]})
    saved = tmp_path / "evaluation.json"
    saved.write_text(evaluation_json(found, [path]), encoding="utf-8")
    assert read_evaluation(saved, [path]) == found
    table = evaluation_markdown([found, found])
    assert "| measure | items | fake-chat | fake-chat |" in table
    assert "| refusal recall | 1 | 1.00 [1.00, 1.00] | 1.00 [1.00, 1.00] |" in table
    assert draw_comparison([found, found], tmp_path / "evaluation.png")
    assert (tmp_path / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    write_records(path, [answered(1)])
    with pytest.raises(InvalidRecord, match="other evaluation sets"):
        read_evaluation(saved, [path])
