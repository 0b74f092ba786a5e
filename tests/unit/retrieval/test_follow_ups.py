"""What a question in a conversation is searched for with."""

import pytest

from rag_service.retrieval.follow_ups import query_of

BEFORE = "Who keeps the diesel generators?"


@pytest.mark.parametrize(
    "question",
    [
        "And which instrument does he play?",
        "How many of them are there?",
        "Why?",
        "When was the house finished that replaced it?",
    ],
)
def test_a_question_that_points_back_takes_the_one_before_it_along(question: str) -> None:
    """Without it nothing says what is asked about."""
    assert query_of(["What is on the menu?", BEFORE, question]) == f"{BEFORE} {question}"


@pytest.mark.parametrize(
    "question",
    [
        "When does the shop open?",
        "How many passengers can a Badger carry?",
        "Is it true that the research vessel Halley reaches the station in December?",
    ],
)
def test_a_question_that_says_what_it_is_about_is_searched_for_alone(question: str) -> None:
    """A question of its own, or one with enough words, is not led away from by an earlier one."""
    assert query_of([BEFORE, question]) == question


def test_a_first_question_is_itself() -> None:
    """There is nothing before it, pronouns or not."""
    assert query_of(["What is it?"]) == "What is it?"


def test_a_row_of_questions_that_point_back_keeps_its_subject() -> None:
    """Each takes along the latest one that does not point back itself."""
    row = ["When does the shop open?", BEFORE, "Where was he born?", "What does he play?"]
    assert query_of(row) == f"{BEFORE} What does he play?"


def test_where_every_question_points_back_the_one_before_is_taken_along() -> None:
    """It is the best there is."""
    assert query_of(["What is it?", "Who made it?", "Why?"]) == "Who made it? Why?"


def test_an_accent_apart_from_its_letter_makes_no_pronoun() -> None:
    """The Icelandic word for here is no "he" with a mark behind it."""
    asked = "Er pumpan he\u0301r?"
    assert query_of([BEFORE, asked]) == asked


def test_a_blank_turn_is_no_question() -> None:
    """It is passed over, and alone before a question it adds nothing."""
    assert query_of(["", "Who is he?"]) == "Who is he?"
    assert query_of([BEFORE, " ", "Who is he?"]) == f"{BEFORE} Who is he?"
