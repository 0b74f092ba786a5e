"""Questions that a whole sentence answers: for yes or no, and how something is done."""

from dataclasses import replace

import pytest

from rag_service.answering.whole_sentences import rather_whole, says_more, stated_in
from tests.passages import passage as made_passage

NEVER = "Never put the kettle under running water."
SUBLET = "The tenant must not sublet the rooms without the landlord's written consent."
HEAVY = "A parcel may weigh up to 31.5 kilograms."
HOW = "To make a new token, open Settings and click Create."
FAIR = "The fair is held on the green."


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Can I put the kettle under running water?", NEVER),
        ("May a tenant sublet the rooms without consent?", SUBLET),
        ("And may a parcel weigh 35 kilograms?", HEAVY),
        ("Is the fair of 2025 held on the green?", FAIR),
        ("How do I make a new token?", HOW),
        ("What must I do to make a token?", HOW),
    ],
)
def test_a_sentence_with_all_that_is_asked_about_answers(question: str, sentence: str) -> None:
    """Whatever its numbers are; some words may stand in the title."""
    found = replace(made_passage(1, f"## Rules\n\n{sentence}"), document_title="The year 2025")
    assert stated_in(["## Rules", sentence], question, [found]) == sentence


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Can I put the kettle into the dishwasher?", NEVER),  # a word is not there
        ("Is the fair of 2026 held on the green?", FAIR),  # another year
        ("Who must not sublet the rooms?", SUBLET),  # asks for no yes
        ("Could you tell me who must not sublet the rooms?", SUBLET),
        ("May a parcel or a letter weigh so much?", HEAVY),  # asks which
        ("Is it green?", FAIR),  # says too little
        ("How many tokens do I make in Settings?", HOW),
        ("Do you ship batteries?", "Do you ship batteries?"),  # a heading of questions and answers
    ],
)
def test_a_sentence_about_something_else_says_nothing(question: str, sentence: str) -> None:
    """The passages may still answer, in another way."""
    found = replace(made_passage(1, sentence), document_title="The year 2025")
    assert stated_in([sentence], question, [found]) is None


@pytest.mark.parametrize(
    ("answer", "question", "sentence", "more"),
    [
        ("Yes [1].", "May a tenant sublet without consent?", SUBLET, True),
        ("No [1].", "May a tenant sublet without consent?", SUBLET, False),
        ("Yes [1].", "Is the fair held on the green?", FAIR, False),
        ("No [1].", "Is the fair held on the green?", FAIR, True),
        ("Yes [1].", "Must one never put it under water?", NEVER, False),
        ("On the green [1].", "Is the fair held on the green?", FAIR, False),
        ("Create [1].", "How do I make a new token?", HOW, True),
        ("Ask Ann for one [1].", "How do I make a new token?", HOW, False),
    ],
)
def test_a_yes_to_what_a_sentence_denies_gives_way_to_it(
    answer: str,
    question: str,
    sentence: str,
    more: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """So does a no to what it does not, whatever the question denies; and a part of how something is done."""
    assert says_more(sentence, answer, question) is more


def test_what_was_settled_stands_where_no_sentence_is_better() -> None:
    """In the place of a refusal any is, in one line."""
    question = "May a tenant sublet without consent?"
    assert rather_whole(None, "No tenant\nmay sublet.", question) == "No tenant may sublet."
    assert rather_whole("No [1].", SUBLET, question) == "No [1]."
    assert rather_whole("Yes [1].", None, question) == "Yes [1]."
    assert rather_whole(None, None, question) is None
