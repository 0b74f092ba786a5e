"""Which answers count as refusals."""

import pytest

from rag_service.answering.refusals import SENTENCES, is_refusal


@pytest.mark.parametrize(
    "text",
    [
        SENTENCES["no_evidence"],
        "I do not know.",
        "I don\u2019t know who leads it.",
        "  I'm not sure about that.",
        "The passages do not mention a price.",
        "The context does not say.",
        "Sorry, but I can't find that.",
        "There is no information about the year.",
    ],
)
def test_a_text_that_begins_as_a_refusal_is_one(text: str) -> None:
    """Our own sentences, and those that models were seen to write."""
    assert is_refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        "Ann said that she does not know.",
        "The café does not open on Mondays.",
        "The documents were signed in 1962.",
        "There is no smoking in the hut.",
        "",
    ],
)
def test_a_denial_in_the_matter_is_an_answer(text: str) -> None:
    """Only the first words count, and only those about knowing and sources."""
    assert not is_refusal(text)
