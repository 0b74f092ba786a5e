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
        "The passages don't mention a price.",
        "Sorry, but I can't find that.",
        "There is no information about the year.",
        "I do not have specific information.",
        "I don't have any specific knowledge about the photographer.",
        "Sorry, but I have no information regarding that.",
        "I am sorry I don't know this.",
        "The documents do not say when it was built. Ask the harbour office.",
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
        "I have no objection.",
        "I'm sorry to hear that; restart the pump.",
        "The documents do not name a price, but entry is free on Mondays.",
        "I do not know the year. However, the hut is older than the mast.",
        "",
    ],
)
def test_a_denial_in_the_matter_is_an_answer(text: str) -> None:
    """Only the first words count, those about knowing and sources, and only if nothing follows them."""
    assert not is_refusal(text)
