"""Records made from records: near misses, changed facts, other subjects, reasoning."""

import re
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from numpy.typing import NDArray

from posttrain.asking import as_retrieved
from posttrain.data.arithmetic import import_gsm8k, reasoned
from posttrain.data.distractors import Distraction, PassagePool, RetrievedPool, distracted, pools_by_split
from posttrain.data.grounded import grounded_of
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.data.swaps import about_others, changed_facts, old_answers, other_answer
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.evaluation.measures import contains_gold
from tests.fakes import FakeEmbedder

FACTS = (
    ("Orson Kovacs", "What does Orson Kovacs keep?", "generators", "Orson Kovacs keeps the generators."),
    ("Milo Kovacek", "What does Milo Kovacek keep?", "vehicles", "Milo Kovacek keeps the vehicles."),
    ("Agnes", "What does the generator burn an hour?", "14 litres", "The generator Agnes burns 14 litres."),
    ("Hut", "When was the hut built?", "1962", "The hut was built in 1962 by Ingrid Maurstad."),
    ("Founder", "Who founded the station?", "Ingrid Maurstad", "The station was founded by Ingrid Maurstad."),
    ("Cook", "Who cooks at the station?", "Pavel Lind", "At the station Pavel Lind cooks and bakes."),
)


@pytest.fixture
def records() -> list[Record]:
    """Return one answer a fact, each with a passage of its own."""
    return [
        grounded_record(
            f"r{n}", question, SourcePassage(f"p{n}", text, title), [answer], split="train", source=SQUAD
        )
        for n, (title, question, answer, text) in enumerate(FACTS)
    ]


def test_near_misses_stand_beside_the_gold_passage_and_the_marker_follows_it(records: list[Record]) -> None:
    """The cited number is that of the gold passage wherever it came to stand; none else tells the answer."""
    made = list(distracted(records, PassagePool(records), Distraction(3, 3)))
    places = set()
    for record in made:
        parts = grounded_of(record)
        assert parts is not None
        (gold,) = parts.gold
        place = parts.passages.index(gold) + 1
        places.add(place)
        assert record.messages[-1].text.endswith(f"[{place}].")
        others = [passage for passage in parts.passages if passage != gold]
        assert not any(contains_gold(passage.text, record.meta.gold) for passage in others)
    assert len(places) > 1
    assert made == list(distracted(records, PassagePool(records), Distraction(3, 3)))


def test_without_its_gold_passage_the_reply_is_a_refusal(records: list[Record]) -> None:
    """Near misses stay; the answer is in none of them, and it is not the target."""
    made = list(distracted(records, PassagePool(records), Distraction(2, 2, without_gold=1.0)))
    assert made
    for record in made:
        parts = grounded_of(record)
        assert parts is not None
        assert parts.passages
        assert record.task == "rag_refuse"
        assert [part.type for part in parts.reply] == ["refusal"]
        number = int(record.id[1])
        assert f"p{number}" not in {passage.id for passage in parts.passages}
        assert not record.meta.gold


def test_changed_facts_stand_in_passage_and_reply_alike(records: list[Record]) -> None:
    """The new answer is in both, the old one in neither."""
    made = {record.id: record for record in changed_facts(records)}
    assert {"r2-changed", "r3-changed", "r4-changed", "r5-changed"} == set(made)
    for name, record in made.items():
        old, new = FACTS[int(name[1])][2], record.meta.gold
        parts = grounded_of(record)
        assert parts is not None
        assert contains_gold(parts.passages[0].text, new)
        assert contains_gold(record.messages[-1].text, new)
        assert not contains_gold(parts.passages[0].text, [old])


def test_a_fact_is_not_changed_where_a_part_of_the_old_name_is_left() -> None:
    """Bo Carl Ruud is still the one who Bo Ruud was."""

    def changed_of(also: str) -> set[str]:
        told = [("Who built pump 1?", "Bo Ruud"), ("Who built pump 2?", "Ada Lund")]
        text = f"Bo Ruud built pump 1, Ada Lund pump 2. {also} lived in Oslo."
        records = [
            grounded_record(
                str(n), question, SourcePassage("p", text, "Pumps"), [answer], split="train", source=SQUAD
            )
            for n, (question, answer) in enumerate([*told, ("Who sold it?", "Eli Berg")])
        ]
        return {record.id for record in changed_facts(records)}

    assert "0-changed" in changed_of("He")
    assert "0-changed" not in changed_of("Bo Carl Ruud")


def test_no_near_miss_says_what_a_changed_passage_said_before(records: list[Record]) -> None:
    """The old answer is found by the changed record's id."""
    made = next(record for record in changed_facts(records) if record.id == "r2-changed")
    parts = grounded_of(made)
    assert parts is not None
    old = old_answers(records)[made.id]
    assert old == ("14 litres",)
    telling = SourcePassage("q", "The generator burns 14 litres an hour.", "Notes")
    pool = PassagePool(
        [grounded_record("q", "How much?", telling, ["14 litres"], split="train", source=SQUAD)]
    )
    assert pool.near_misses(parts, 1, Random(0)) == [telling]  # noqa: S311 - a draw
    assert pool.near_misses(parts, 1, Random(0), besides=old) == []  # noqa: S311 - a draw


@pytest.mark.parametrize(("old", "shape"), [("14 litres", r"\d\d litres"), ("1962", r"19\d\d")])
def test_numbers_keep_their_shape(old: str, shape: str) -> None:
    """A number has as many digits as before, a year its century."""
    new = other_answer(old, [], Random(1))  # noqa: S311 - no secret
    assert new != old
    assert re.fullmatch(shape, new or "")


def test_a_question_about_somebody_else_is_refused(records: list[Record]) -> None:
    """The other name is not in the passage; neither is the question's old name in the question."""
    made = list(about_others(records))
    assert {record.id for record in made} == {"r0-other-subject", "r1-other-subject"}
    for record in made:
        parts = grounded_of(record)
        assert parts is not None
        assert record.task == "rag_refuse"
        assert parts.search.text == parts.question
        assert FACTS[int(record.id[1])][0] not in parts.question


def test_steps_become_reasoning_and_the_answer_stays() -> None:
    """Calls and results stay between the steps; only the last words are text."""
    row = {"question": "How many?", "answer": "Half is 48/2=<<48/2=24>>24.\nSo 24.\n#### 24"}
    (record,) = import_gsm8k([row])
    parts = reasoned(record).messages[-1].parts
    assert [part.type for part in parts] == [
        "reasoning",
        "calculate",
        "calculate_result",
        "reasoning",
        "text",
    ]
    assert parts[-1].text == "The answer is 24."


def test_dense_near_misses_take_turns_with_those_of_bm25(records: list[Record]) -> None:
    """What shares no word with the question is found by its vector alone."""

    class Near(FakeEmbedder):
        """Says that everything is nearest to the hut."""

        def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.array([[float("hut" in text), 1.0] for text in texts], dtype=np.float32)

        def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.array([[1.0, 0.0]] * len(texts), dtype=np.float32)

    parts = grounded_of(records[0])
    assert parts is not None
    for embedder, nearest in ((None, "p1"), (Near(), "p3")):
        (found,) = PassagePool(records, embedder).near_misses(parts, 1, Random(0))  # noqa: S311 - a draw
        assert found.id == nearest


def test_near_misses_within_the_split_do_not_cross_it(records: list[Record]) -> None:
    """No passage of a record for development stands in one for training."""
    mixed = [replace(each, split="dev" if n % 2 else "train") for n, each in enumerate(records)]
    made = list(distracted(mixed, pools_by_split(mixed), Distraction(3, 3)))
    ids = {
        split: {
            passage.id
            for each in made
            if each.split == split and (parts := grounded_of(each))
            for passage in parts.passages
        }
        for split in ("train", "dev")
    }
    assert ids == {"train": {"p0", "p2", "p4"}, "dev": {"p1", "p3", "p5"}}


def test_near_misses_of_a_collection_are_what_the_search_finds(records: list[Record]) -> None:
    """In its order, without the record's own passage and any that tells the answer, of its own side alone."""
    texts = (
        "Orson Kovacs keeps the generators.",
        "Kovacs has generators.",
        "Milo keeps vans.",
        "Tea at four.",
    )
    found = [
        replace(as_retrieved(n, SourcePassage("d", text, f"T{n}")), chunk_id=n)
        for n, text in enumerate(texts)
    ]
    parts = grounded_of(records[0])
    assert parts is not None
    own = replace(parts, passages=(SourcePassage("chk_0", texts[0], "T0"),))
    pool = RetrievedPool(lambda _question, _count: found)
    assert [each.id for each in pool.near_misses(own, 2, Random(0))] == ["chk_2", "chk_3"]  # noqa: S311 - a draw
    sided = RetrievedPool(lambda _question, _count: found, lambda title: "dev" if title == "T2" else "train")
    assert [each.id for each in sided.near_misses(own, 2, Random(0))] == ["chk_3"]  # noqa: S311 - same
