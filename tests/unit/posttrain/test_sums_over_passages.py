"""Sums over passages: right, made of numbers that are given, and cited."""

import re
from fractions import Fraction
from math import prod

import pytest

from posttrain.data.sums_over_passages import sums_over_passages
from rag_service.answering.conversation import Record, SourcePassage, record_from_json, record_to_json

COUNTS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Return some hundred records, of all shapes."""
    return list(sums_over_passages(400, seed=3))


def gold_of(record: Record) -> list[SourcePassage]:
    """Return the passages that the numbers stand in."""
    return [each for each in record.messages[-1].parts[1].passages if each.id in record.meta.gold_passages]


def value_of(expression: str) -> Fraction:
    """Return the value of products that are added and subtracted, computed in another way than served."""
    terms = expression.replace("-", "+-").split("+")
    return sum(prod((Fraction(factor) for factor in term.split("*")), start=Fraction(1)) for term in terms)


def numbers_in(text: str) -> set[str]:
    """Return the numbers of a text without commas: figures, words, and the 2 that "and back" stands for."""
    figures = {found.replace(",", "") for found in NUMBER.findall(text)}
    said = {str(n) for n, word in enumerate(COUNTS, start=2) if re.search(rf"\b{word}\b", text)}
    return figures | said | ({"2"} if " and back" in text else set())


def test_what_is_computed_are_numbers_of_the_question_and_its_passages(records: list[Record]) -> None:
    """A model can not know others; none comes from a passage that is not cited."""
    for record in records:
        given = " ".join([record.messages[0].text, *(each.text for each in gold_of(record))])
        assert set(NUMBER.findall(record.messages[-1].parts[2].text)) <= numbers_in(given), record


def test_the_answer_is_the_result_and_the_result_is_right(records: list[Record]) -> None:
    """Search, what it found, the sum, its result, and the result in words."""
    for record in records:
        search, _, sum_, result, said = record.messages[-1].parts
        kinds = ["search", "search_result", "calculate", "calculate_result", "text"]
        assert [part.type for part in record.messages[-1].parts] == kinds
        assert search.text == record.messages[0].text
        assert Fraction(result.text) == value_of(sum_.text) > 0
        assert record.meta.gold == (result.text,)
        assert said.text.startswith(f"{result.text} ")


def test_citations_name_the_passages_that_the_numbers_come_from(records: list[Record]) -> None:
    """All of them and no other, wherever they stand among the rest."""
    for record in records:
        parts = record.messages[-1].parts
        passages = parts[1].passages
        cited = [passages[int(place) - 1].id for place in re.findall(r"\[(\d+)\]", parts[-1].text)]
        assert sorted(cited) == sorted(record.meta.gold_passages)
        assert len({each.id for each in passages}) == len(passages)
    places = {record.messages[-1].parts[-1].text.partition("[")[2][:1] for record in records}
    assert {"1", "2", "3"} <= places


def test_a_question_is_on_one_side_whichever_numbers_it_has(records: list[Record]) -> None:
    """Both splits occur, about a tenth is held back, and the same words never stand in both."""
    held = {record.messages[0].text for record in records if record.split == "dev"}
    learned = {record.messages[0].text for record in records if record.split == "train"}
    assert not held & learned
    assert 0.04 < len(held) / len(records) < 0.2
    assert {record.task for record in records} == {"calculate"}


def test_the_same_seed_gives_the_same_records(records: list[Record]) -> None:
    """Another gives others; a record survives its file."""
    assert list(sums_over_passages(400, seed=3)) == records
    assert list(sums_over_passages(400, seed=4)) != records
    assert record_from_json(record_to_json(records[0])) == records[0]
