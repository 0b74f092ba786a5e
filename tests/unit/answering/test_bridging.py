"""Questions about the time of an event: how that is asked for, and the question that is left."""

import pytest

from rag_service.answering.bridging import bridge, time_in
from rag_service.answering.looking_up import Fact
from tests.passages import passage

OPENED = "The Lantern was opened on 22 January 1998."


@pytest.mark.parametrize(
    ("question", "when", "left"),
    [
        (
            "Who led the station in the year in which the Lantern was opened?",
            "When was the Lantern opened?",
            "Who led the station in 1998?",
        ),
        (
            "Who led the station when the Lantern was opened?",
            "When was the Lantern opened?",
            "Who led the station in 1998?",
        ),
        (
            "Which ship came during the same month that the Lantern was opened?",
            "When was the Lantern opened?",
            "Which ship came in January 1998?",
        ),
        (
            "Who kept watch on the day of the opening?",
            "When was the opening?",
            "Who kept watch on 22 January 1998?",
        ),
        (
            "What did diesel cost in the year the ship arrived?",
            "When did the ship arrived?",
            "What did diesel cost in 1998?",
        ),
    ],
)
def test_the_date_stands_in_the_place_of_the_event(question: str, when: str, left: str) -> None:
    """As exactly as it is asked for."""
    time = time_in(question)
    assert time is not None
    assert time.when == when
    found = bridge(time, lambda _: Fact("22 January 1998", OPENED, passage(1, OPENED), 0.9))
    assert found is not None
    assert (found.question, found.fact.sentence) == (left, OPENED)


@pytest.mark.parametrize(
    "question",
    [
        "When was the Lantern opened?",
        "What should I do when the alarm rings?",
        "Who led the station in 1998?",
        "In which year was the Lantern opened?",
        "Who led the station in the year 1998?",
        "How many guests came in the year after the war?",
        "How old was Anna when she was elected?",
        "How do I get my money back when my flight was cancelled?",
        "What happens when the goods were damaged?",
        "How many days in the year is the museum open?",
        "How long may one park during the day for free?",
        "Who cooks in the month of May?",
        "who x " + "when " * 6000,
    ],
)
def test_other_questions_ask_for_no_such_time(question: str) -> None:
    """They name it, ask for it, or mean whenever something happens."""
    assert time_in(question) is None


@pytest.mark.parametrize(
    "fact",
    [
        None,
        Fact("in spring", "It was opened in spring.", passage(1, "It was opened in spring."), 0.9),
        Fact("1998", "It was opened in 1998.", passage(1, "It was opened in 1998."), 0.9),
        Fact("2021-13-01", "Opened 2021-13-01.", passage(1, "Opened 2021-13-01."), 0.9),
    ],
)
def test_without_as_much_of_a_date_there_is_no_other_question(fact: Fact | None) -> None:
    """A year does not tell the month."""
    time = time_in("Who kept watch in the month in which the Lantern was opened?")
    assert time is not None
    assert bridge(time, lambda _: fact) is None
