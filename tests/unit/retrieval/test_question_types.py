"""Questions that are to be computed, and those that may be."""

import time

import pytest

from rag_service.retrieval.question_types import (
    asks_how_to,
    asks_whether,
    asks_who_answers,
    counts_in,
    may_need_a_sum,
    needs_a_sum,
    offers_a_choice,
    without_greeting,
)
from rag_service.retrieval.units import quantity_asked_for


@pytest.mark.parametrize(
    "question",
    [
        "What do three hats and two mugs cost together?",
        "How much diesel does the van need to the quarry and back?",
        "How many metres are still to be drilled?",
        "What do seats for all seventeen cost in total?",
        "How many more tickets were sold in May?",
    ],
)
def test_amounts_that_are_put_together_need_a_sum(question: str) -> None:
    """They are asked for as an amount."""
    assert needs_a_sum(question)
    assert may_need_a_sum(question)


@pytest.mark.parametrize(
    "question",
    [
        "How much is a woollen hat in the shop?",
        "How much does a combined ticket cost?",
        "When was the station founded in 1962?",
        "Who lived together with the cook?",
        "What was the total population?",
    ],
)
def test_other_questions_do_not(question: str) -> None:
    """Not by a year, nor where no amount is asked for, nor by a total that may stand in the text."""
    assert not needs_a_sum(question)


def test_a_price_is_read_off() -> None:
    """Nothing is counted and nothing put together."""
    assert not may_need_a_sum("How much is a woollen hat in the shop?")


def test_counts_are_no_years_and_no_dates() -> None:
    """In figures or words."""
    assert counts_in("How much are three hats in 2026?") == {"3"}
    assert counts_in("What happened on 3 August 1971?") == frozenset()


@pytest.mark.parametrize(
    ("question", "whether", "choice"),
    [
        ("May I bring a dog?", True, False),
        ("Thanks. And is it open on Mondays?", True, False),
        ("Is it open on Mondays or on Tuesdays?", False, True),
        ("Which is older, Agnes or Bertil?", False, True),
        ("Who keeps Agnes or Bertil?", False, False),
        ("Could you tell me what it costs?", False, False),
        ("When may I bring a dog?", False, False),
        ("Is it far? I have no car.", False, False),
    ],
)
def test_a_question_may_want_a_yes_or_one_of_several_things(
    question: str,
    whether: bool,  # noqa: FBT001 - a parameter of the test
    choice: bool,  # noqa: FBT001 - same
) -> None:
    """By how it begins; politeness and another question word ask for something else."""
    assert (asks_whether(question), offers_a_choice(question)) == (whether, choice)


def test_a_question_may_want_to_know_how_something_is_done() -> None:
    """How many and how far want an amount."""
    assert asks_how_to("How do I make a token?")
    assert asks_how_to("Please explain how to make a token.")
    assert asks_how_to("What should I do if I forgot it?")
    assert not asks_how_to("How close can I go to a seal?")
    assert not asks_how_to("How does it work?")


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        ("Hi Marta, how many days of leave do I have?", "how many days of leave do I have?"),
        ("Good morning! When does the ship come?", "When does the ship come?"),
        ("Dear all,\nwhere is the key?", "where is the key?"),
        ("Hello.", "Hello."),
        ("High winds, what then?", "High winds, what then?"),
        *(
            (same, same)
            for same in (
                "Hi can you tell me what the deposit is, please?",
                "Hi how much is the deposit, and when is it due?",
                "Hi-fi equipment, is it covered here?",
                "Dear customers get a discount, is it 10%?",
            )
        ),
    ],
)
def test_a_greeting_is_no_part_of_a_question(asked: str, left: str) -> None:
    """Marta is nothing that the passages must speak of."""
    assert without_greeting(asked) == left


def test_long_messages_are_judged_quickly() -> None:
    """The end of them is what is asked."""
    began = time.perf_counter()
    for text in (", " * 16_000, "is a" + " " * 32_000 + "b.", "how " * 8_000, "what does " * 3_000):
        asks_whether(text)
        offers_a_choice(text)
        asks_how_to(text)
        quantity_asked_for(text)
    assert time.perf_counter() - began < 5
    assert asks_whether("Some words. " * 3_000 + "Is it open?")


@pytest.mark.parametrize(
    ("question", "about_itself"),
    [
        ("Who are you?", True),
        ("Hello! What exactly are you?", True),
        ("What is your name?", True),
        ("who made you", True),
        ("Are you ChatGPT?", True),
        ("What are you allowed to take on the plane?", False),
        ("Are you open on Sundays?", False),
        ("Who are the cooks?", False),
    ],
)
def test_a_question_may_be_about_whoever_answers(question: str, about_itself: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """No document says it."""
    assert asks_who_answers(question) is about_itself
