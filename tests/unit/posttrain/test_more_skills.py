"""The records of a run that goes on from an adapter: what the model held, word problems, replay."""

import json
from pathlib import Path

import pytest

from posttrain.data.facts import known_facts
from posttrain.data.files import read_records, write_records
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.recipes.more_skills import HALVES, REPLAY, Ingredients, make
from rag_service.answering.conversation import Record, SourcePassage, assistant, user

HELD = "The capital of France is Paris. It lies on the Seine."


@pytest.fixture
def ingredients(tmp_path: Path) -> Ingredients:
    """Five records of each kind, ten requests, and a model that holds all facts in its own words."""
    data = tmp_path / "data"
    for name in REPLAY:
        write_records(data / f"{name}.jsonl", [_answered(name, number) for number in range(5)])
    unknown = [
        Record(f"u{n}", "probe_refuse", "dev" if n % 2 else "train", (user(f"Who is {n}?"), assistant("No.")))
        for n in range(6)
    ]
    write_records(data / "unknown.jsonl", unknown)
    write_records(data / "sets" / "reading.jsonl", [_answered("squad_answers", 3)])
    rows = [
        {
            "instruction": f"Write {n} lines",
            "context": "",
            "response": "La la.",
            "category": "creative_writing",
        }
        for n in range(10)
    ]
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "dolly.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    said = [
        {"question": each.messages[0].text, "said": HELD if "France" in each.messages[0].text else "?",
         "right": each.messages[0].text == "What is the capital of France?"}
        for each in known_facts()
    ]  # fmt: skip
    known = tmp_path / "known.jsonl"
    known.write_text("".join(json.dumps(row) + "\n" for row in said), encoding="utf-8")
    return Ingredients(sources, data, known)


def test_what_is_trained_on_shares_nothing_with_what_is_evaluated_on(
    ingredients: Ingredients, tmp_path: Path
) -> None:
    """A record of an evaluation set is left out; of the facts those that the model held are taken."""
    make(ingredients, tmp_path / "mix")
    trained = _mixed(tmp_path / "mix")
    names = {record.id.rpartition("-")[0] for record in trained}
    assert set(REPLAY) - {"unknown"} <= names
    assert "squad_answers-3" not in {record.id for record in trained}
    assert all(record.split == "train" for record in trained)
    facts = [each for each in trained if each.task == "probe_known"]
    closed = list(read_records(tmp_path / "mix" / "closed.jsonl"))
    held = [each for each in (*facts, *closed) if each.task == "probe_known"]
    assert {each.messages[-2].text for each in held} == {"What is the capital of France?"}
    assert not {each.messages[-2].text for each in facts} & {each.messages[-2].text for each in closed}
    assert all(each.messages[-1].text == "The capital of France is Paris." for each in held)


def test_requests_that_need_no_document_are_made_where_a_search_is_offered(
    ingredients: Ingredients, tmp_path: Path
) -> None:
    """The same inputs give the same records."""
    make(ingredients, tmp_path / "one")
    make(ingredients, tmp_path / "two")
    first, second = (_mixed(tmp_path / name) for name in ("one", "two"))
    assert first == second
    chats = [each for each in first if each.task == "chat"]
    assert chats
    assert all("search" in each.messages[0].text.lower() for each in chats)


def _mixed(folder: Path) -> list[Record]:
    return [
        record
        for half in HALVES
        for name in ("train", "dev")
        for record in read_records(folder / half / f"{name}.jsonl")
    ]


def _answered(name: str, number: int) -> Record:
    words = " ".join(f"{name}{number}{letter}" for letter in "abcdefghijklmnop")
    passage = SourcePassage(f"{name}-{number}", f"{words} keeps 14 litres.", f"{name} {number}")
    return grounded_record(
        f"{name}-{number}",
        f"How many does {name}{number} keep?",
        passage,
        ["14 litres"],
        split="train",
        source=SQUAD,
    )
