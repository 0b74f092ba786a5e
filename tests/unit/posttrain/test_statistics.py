"""Counts of a set of records, and leaks into evaluation sets."""

from posttrain.data.reading import SQUAD, grounded_record
from posttrain.data.statistics import Shingles, describe
from rag_service.answering.conversation import Record, SourcePassage

LONG = "the two diesel generators in the engine room burn fourteen litres an hour when both run at full load"


def record(number: int, text: str, *answers: str) -> Record:
    """Return a record about `text`."""
    passage = SourcePassage("d1", text)
    return grounded_record(str(number), "What burns?", passage, answers, split="train", source=SQUAD)


def test_refusals_and_duplicates_are_counted() -> None:
    """Two equal records are one duplicate; the refusal share is over all records."""
    statistics = describe([record(1, "a", "b"), record(2, "a", "b"), record(3, "a")])
    assert (statistics.records, statistics.duplicates) == (3, 1)
    assert statistics.refusal_share == 1 / 3
    assert statistics.by_task == {"rag_answer": 2, "rag_refuse": 1}


def test_no_records_have_statistics_too() -> None:
    """An empty file is described, not divided by."""
    assert describe([]).records == 0


def test_a_record_that_quotes_an_evaluation_text_is_found() -> None:
    """Thirteen shared words in a row are a leak, whatever the case and the marks; fewer are not."""
    shingles = Shingles([LONG])
    quoting = record(1, f"We read: {LONG.upper()}!", "x")
    sharing = record(2, " ".join(LONG.split()[:12]), "x")
    assert list(shingles.leaks([quoting, sharing])) == [quoting]
