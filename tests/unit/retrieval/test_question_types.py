"""Questions that are to be computed, and those that may be."""

import pytest

from rag_service.retrieval.question_types import counts_in, may_need_a_sum, needs_a_sum


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
