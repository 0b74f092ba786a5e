"""A mix has the shares of its recipe, the same every time, and no document on both sides."""

from dataclasses import replace
from pathlib import Path

import pytest

from corpus.errors import InvalidRecord
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.data.sums_over_passages import sums_over_passages
from posttrain.mix import Recipe, mix, read_recipe
from rag_service.answering.conversation import Record, SourcePassage, assistant, system, user


def records(count: int) -> list[Record]:
    """Return records of 10 passages, half of them refusals, every tenth passage for development."""
    made = []
    for n in range(count):
        passage = SourcePassage(f"p{n % 10}", f"Text {n % 10}.")
        split = "dev" if n % 10 == 0 else "train"
        answers = ("yes",) if n % 2 else ()
        made.append(grounded_record(f"{n:04d}", f"Q{n}?", passage, answers, split=split, source=SQUAD))
    return made


def test_shares_are_those_of_the_recipe() -> None:
    """A quarter of refusals is asked for and drawn, whatever the pool's own share."""
    drawn = mix(records(400), Recipe(100, {"rag_answer": 0.75, "rag_refuse": 0.25}))
    assert sum(record.task == "rag_refuse" for record in drawn.train) == 25
    assert len(drawn.train) == 100
    assert not drawn.short


def test_the_same_records_in_another_order_give_the_same_mix() -> None:
    """The order of files does not matter, the seed does."""
    recipe = Recipe(50, {"rag_answer": 1.0})
    assert mix(records(400), recipe) == mix(records(400)[::-1], recipe)
    assert mix(records(400), recipe) != mix(records(400), Recipe(50, {"rag_answer": 1.0}, seed=1))


def test_no_passage_stands_in_both_parts() -> None:
    """What development loss is measured on was never trained on."""
    drawn = mix(records(400), Recipe(300, {"rag_answer": 0.5, "rag_refuse": 0.5}))
    texts = [
        {record.messages[1].parts[1].passages[0].text for record in part} for part in (drawn.train, drawn.dev)
    ]
    assert texts[1]
    assert not texts[0] & texts[1]


def test_a_task_with_too_few_records_is_told() -> None:
    """All there are are taken once; nothing is repeated in silence."""
    drawn = mix(records(20), Recipe(100, {"rag_answer": 1.0}))
    assert drawn.short == {"rag_answer": 100 - len(drawn.train)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("records = 10\n[shares]\nrag_answer = 0.5\n", "sum to 0.5"),
        ("records = 10\n[shares]\ncooking = 1.0\n", "cooking"),
        ("record = 10\n[shares]\nchat = 1.0\n", "records, seed"),
        ("records = \n", "TOML"),
    ],
)
def test_a_recipe_that_does_not_fit_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    """Unknown tasks, keys and sums other than 1 are told by name."""
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRecord, match=message):
        read_recipe(path)


def test_a_share_of_the_records_gets_the_services_system_message() -> None:
    """With a share of one all have it, on different days; a record that has its own keeps it."""
    passage = SourcePassage("p", "The pump burns 14 litres.")
    records = [
        grounded_record(str(n), f"What {n}?", passage, ["14 litres"], split="train", source=SQUAD)
        for n in range(20)
    ]
    records[0] = replace(records[0], messages=(system("Be brief."), *records[0].messages))
    drawn = mix(records, Recipe(20, {"rag_answer": 1.0}, system=1.0)).train
    texts = [record.messages[0].text for record in drawn]
    assert all(record.messages[0].role == "system" for record in drawn)
    assert texts.count("Be brief.") == 1
    assert len(set(texts)) > 10
    assert all(
        record.messages[0].role == "user"
        for record in mix(records[1:], Recipe(20, {"rag_answer": 1.0})).train
    )


def test_a_record_that_searches_is_told_that_it_may() -> None:
    """Whatever its task; one of the same task that does not search is told either."""
    searching = [record for record in sums_over_passages(60) if record.split == "train"]
    bare = [
        Record(f"bare-{n}", "calculate", "train", (user(f"{n} plus {n}?"), assistant(str(2 * n))))
        for n in range(60)
    ]
    chats = [Record(f"chat-{n}", "chat", "train", (user("Hello"), assistant("Hello."))) for n in range(20)]
    recipe = Recipe(1000, {"calculate": 0.5, "chat": 0.5}, system=1.0)
    told: dict[str, set[bool]] = {}
    for record in mix([*searching, *bare, *chats], recipe).train:
        kind = record.id.partition("-")[0]
        told.setdefault(kind, set()).add("You can search them." in record.messages[0].text)
    assert told == {"sum": {True}, "bare": {True, False}, "chat": {False}}
