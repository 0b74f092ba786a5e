"""A reader beside the answerer: whose words stand, and when none do."""

import re
from dataclasses import replace

import numpy as np
import pytest

from rag_service.answering.two_readers import (
    Said,
    Told,
    agree,
    hopeless,
    probability,
    settle,
    told_in,
)
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readings import Reading
from tests.passages import passage as made_passage

TEXT = "At normal load Agnes burns 13 litres of diesel an hour. The hut is 220 metres away."
ASKED = "How many litres does Agnes burn in an hour?"
TOLD = Told("13 litres", 4.0, 7)


def passage(text: str = TEXT, title: str = "Energy") -> Passage:
    """Return a passage with the chunk id 7."""
    return replace(made_passage(7, text), document_title=title)


def test_the_readers_words_are_those_of_the_sentence() -> None:
    """With how sure it is and where; of a sentence that no passage has there are none."""
    spans = tuple((match.start(), match.end()) for match in re.finditer(r"\S+", TEXT))
    words = [TEXT[start:end] for start, end in spans]
    starts, ends = (
        np.array([5.0 if each == word else -5.0 for each in words], "f4") for word in ("13", "litres")
    )
    sentence, reading = TEXT[: TEXT.index(".") + 1], Reading(1.0, spans, starts, ends)
    assert told_in([sentence], [passage()], [reading]) == (Told("13 litres", 5.0, 7, sentence),)
    assert told_in(["Otto burns nothing."], [passage()], [reading]) == ()


def test_words_that_agree_stand() -> None:
    """The answerer's, with its own marker."""
    assert settle(ASKED, Said("13 litres [1]."), [TOLD], 0.8, [passage()]) == "13 litres [1]."


def test_where_they_disagree_it_is_the_readers_words_if_it_is_sure() -> None:
    """Cited by the place of their passage; an answerer that refuses has none."""
    settled, unsure = "13 litres [1].", Told(TOLD.text, 1.0, 7)
    refused = Said("I do not know.", refused=True)
    assert settle(ASKED, Said("220 [1]."), [TOLD], 0.8, [passage()]) == settled
    assert settle(ASKED, Said("220 [1]."), [unsure], 0.8, [passage()]) == "220 [1]."
    assert settle(ASKED, refused, [unsure], 0.8, [passage()]) == settled


def test_an_answer_of_the_reader_that_agrees_is_preferred() -> None:
    """To a likelier one of another sentence, unless that is much likelier."""
    worse, other = Told("a ship", 0.5, 7), Told("the hut", TOLD.margin + 1, 7)
    assert settle(ASKED, Said("13 litres [1]."), [worse, other, TOLD], 0.8, [passage()]) == "13 litres [1]."
    surer = Told("the hut", TOLD.margin + 3, 7)
    assert settle(ASKED, Said("13 litres [1]."), [worse, surer, TOLD], 0.8, [passage()]) == "The hut [1]."


def test_the_best_sentence_is_preferred() -> None:
    """To a likelier answer of another."""
    other = Told("the hut", TOLD.margin + 1, 7)
    assert settle(ASKED, Said("Sunday [1]."), [TOLD, other], 0.8, [passage()]) == "13 litres [1]."


def test_the_fuller_name_stands() -> None:
    """Where the reader is sure of it."""
    sure, unsure = (Told("Milo Berg", margin, 7) for margin in (4.0, 1.0))
    assert settle("Who keeps it?", Said("Milo [1]."), [sure], 0.9, [passage()]) == "Milo Berg [1]."
    assert settle("Who keeps it?", Said("Milo [1]."), [unsure], 0.9, [passage()]) == "Milo [1]."


def test_the_fuller_name_stands_in_whatever_form_its_accents_are() -> None:
    """The answerer may compose what its source has decomposed."""
    sure = Told("Zoe\u0308 Berg", 4.0, 7)
    assert settle("Who keeps it?", Said("Zo\u00eb [1]."), [sure], 0.9, [passage()]) == "Zoe\u0308 Berg [1]."


def test_an_answer_begins_with_a_capital_letter() -> None:
    """Unless its first word has a form of its own."""
    assert settle("Who keeps it?", Said("the cook [1]."), [Told("cook", 5.0, 7)], 0.9, []) == "The cook [1]."
    assert settle("How acid is it?", Said("pH 7 [1]."), [Told("pH 7", 5.0, 7)], 0.9, []) == "pH 7 [1]."


def test_neither_stands_where_the_reader_finds_none_and_they_disagree() -> None:
    """However good the evidence looks."""
    unsure = Told("the hut", -1.0, 7)
    assert settle(ASKED, Said("Sunday [1]."), [unsure], 0.9, [passage()]) is None


def test_weak_evidence_refuses() -> None:
    """Unless both are sure; it is known before the answerer is asked."""
    assert settle(ASKED, Said("13 litres [1]."), [Told("13 litres", -4.0, 7)], 0.2, [passage()]) is None
    assert hopeless(0.01, [TOLD])
    assert not hopeless(0.3, [TOLD])
    assert probability(0.5, 2.0, agreed=True) > probability(0.5, 2.0, agreed=False)


@pytest.mark.parametrize(
    ("question", "said", "told"),
    [
        ("How deep is the lake?", "13 litres", "13 litres"),
        ("Who keeps Agnes?", "Agnes", "Agnes"),
        ("What did Agnes burn in 1980?", "13 litres", "13 litres"),
    ],
)
def test_an_answer_beside_the_question_does_not_stand(question: str, said: str, told: str) -> None:
    """It measures something else, repeats the question, or is of another year."""
    assert settle(question, Said(f"{said} [1]."), [Told(told, 5.0, 7)], 0.9, [passage()]) is None


def test_a_year_may_stand_in_the_title() -> None:
    """A yearly report need not repeat it."""
    question = "What did Agnes burn in 1980?"
    there = passage(title="Report for 1980")
    assert settle(question, Said("13 litres [1]."), [TOLD], 0.9, [there]) == "13 litres [1]."


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Which generator is older, Agnes or Bertil?", "Agnes"),
        ("Is the older generator Agnes or Bertil?", "Agnes"),
        ("Does she burn 13 or 15 litres?", "13 litres"),
    ],
)
def test_one_of_the_things_to_choose_from_is_an_answer(question: str, answer: str) -> None:
    """It stands in the question, and repeats it not."""
    assert settle(question, Said(f"{answer} [1]."), [Told(answer, 5.0, 7)], 0.9, [passage()])


@pytest.mark.parametrize("question", ["Who keeps Agnes or Bertil?", "Is it true that Agnes burns oil?"])
def test_a_name_of_the_question_is_no_choice(question: str) -> None:
    """Unless the question asks which of several."""
    assert settle(question, Said("Agnes [1]."), [Told("Agnes", 5.0, 7)], 0.9, [passage()]) is None


@pytest.mark.parametrize("question", ["May a trip cost 2000 euros?", "Is a sum of 2000 paid in cash?"])
def test_a_number_that_only_looks_like_a_year_is_none(question: str) -> None:
    """It has a unit, or the passage writes it with a comma."""
    there = passage("Trips of more than 2,000 euros need the consent of a partner.")
    told = Told("the consent of a partner", 5.0, 7)
    assert settle(question, Said("The consent of a partner [1]."), [told], 0.9, [there])


def test_yes_and_no_stand_by_the_evidence() -> None:
    """No reader finds them."""
    assert settle("Does Agnes burn diesel?", Said("Yes [1]."), [TOLD], 0.8, [passage()]) == "Yes [1]."


def test_numbers_that_differ_do_not_agree() -> None:
    """Though their unit is the same; without numbers a word in common does."""
    assert not agree("Channel 4", "Channel 9")
    assert agree("45", "45 free minutes")
    assert agree("1962", "14 February 1962")
    assert not agree("20 July 2025", "19 July 2025")
    assert agree("the red container", "red container")
    assert not agree("Sunday", "a hair dryer")


def test_what_was_computed_stands_alone() -> None:
    """A question that asks for a sum is not answered by a number that was read off."""
    question = "What do three hats and two mugs cost together?"
    assert settle(question, Said("335 [1].", computed=True), [TOLD], 0.5, [passage()]) == "335 [1]."
    assert settle(question, Said("13 litres [1]."), [TOLD], 0.9, [passage()]) is None


def test_a_sum_of_another_years_numbers_is_none() -> None:
    """Unless the year is what was computed with."""
    question = "What do three hats and two mugs cost together in 2024?"
    assert settle(question, Said("335 [1].", computed=True), [TOLD], 0.9, [passage()]) is None
    there = passage(title="Prices of 2024")
    assert settle(question, Said("335 [1].", computed=True), [TOLD], 0.9, [there]) == "335 [1]."
    question = "How many years together had she been there in 2024?"
    said = Said("11 years [1].", computed=True, used=frozenset({"2024", "2013"}))
    assert settle(question, said, [TOLD], 0.9, [passage()]) == "11 years [1]."
