"""The evidence score: what raises and what lowers it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_service.retrieval.evidence import evidence_score, measure
from rag_service.retrieval.question_types import answer_type, has_candidate
from rag_service.retrieval.terms import terms_of
from tests.fakes import FakeEmbedder
from tests.passages import passage

EMBEDDER = FakeEmbedder(256)
HANDBOOK = passage(1, "Orson Kovacs has kept the generators since 2019. Each burns 14 litres an hour.")
SHIP = passage(2, "A ship brings flour and fuel every second month.")


def score(question: str) -> float:
    """Score a question against both passages."""
    return evidence_score(question, [HANDBOOK, SHIP], EMBEDDER)


def test_an_answered_question_scores_above_others() -> None:
    """Above one about something else, and above one with a name that the passages lack."""
    answered = score("Who has kept the generators since 2019?")
    assert answered > score("Who has kept the generators of Marta Lindqvist?")
    assert answered > score("Which opera did the composer finish in Vienna?")


def test_without_passages_there_is_no_evidence() -> None:
    """Zero, and nothing is embedded."""
    embedder = FakeEmbedder()
    assert evidence_score("Who?", [], embedder) == 0.0
    assert embedder.embedded_passages == 0


def test_signals_name_what_is_missing() -> None:
    """Numbers and names of the question are looked for in the best sentence's passage."""
    signals = measure("Did Ilse Brandt and Orson keep the generators in 1987?", [HANDBOOK, SHIP], EMBEDDER)
    assert signals.missing_numbers == 1.0
    assert signals.missing_names == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("When did it open?", "time"),
        ("In what year was it?", "time"),
        ("How many litres does it burn?", "number"),
        ("Who keeps it?", "name"),
        ("In which city is it?", "name"),
        ("Why is it so?", None),
    ],
)
def test_question_words_tell_the_kind_of_answer(question: str, kind: str | None) -> None:
    """Times, numbers and names; else any."""
    assert answer_type(question) == kind


def test_a_candidate_is_of_the_kind_and_not_in_the_question() -> None:
    """A year for when, a number for how many, a new name for who."""
    sentence = terms_of("In 2019 Orson mended 14 pumps.")
    assert has_candidate("time", sentence, terms_of("When?"))
    assert not has_candidate("time", sentence, terms_of("What happened in 2019?"))
    assert has_candidate("number", sentence, terms_of("How many in 2019?"))
    assert not has_candidate("name", sentence, terms_of("What did Orson do?"))


@settings(max_examples=40, deadline=None)
@given(
    question=st.text(min_size=1, max_size=80), texts=st.lists(st.text(max_size=80), min_size=1, max_size=4)
)
def test_any_question_has_a_score(question: str, texts: list[str]) -> None:
    """A probability, whatever the texts are."""
    passages = [passage(number, text) for number, text in enumerate(texts)]
    assert 0.0 <= evidence_score(question, passages, EMBEDDER) <= 1.0
