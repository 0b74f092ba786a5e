"""Questions about a year that passages tell only by the span in which it lies."""

import pytest

from rag_service.retrieval.year_spans import in_told_years
from tests.passages import passage

LED = "Rosalind Achterberg led the station from 1984 to 1990 and came as a cook."
QUESTION = "Who led the station in 1987?"


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        (LED, "Who led the station from 1984 to 1990?"),
        ("Between 1984 and 1990 she led the station.", "Who led the station from 1984 to 1990?"),
        ("She led the station, 1984-90.", "Who led the station from 1984 to 90?"),
        ("She led the station 1984\u20131990.", "Who led the station from 1984 to 1990?"),
        ("Who | from | to\nStation leader Rosalind | 1984 | 1990", "Who led the station from 1984 to 1990?"),
    ],
)
def test_the_span_stands_in_the_place_of_the_year(text: str, asked: str) -> None:
    """However it is written, in running text or in a row of a table."""
    assert in_told_years(QUESTION, [passage(1, "Tea is free."), passage(2, text)]) == asked


def test_the_span_is_that_of_the_sentence_with_most_of_the_question() -> None:
    """The years of a generator are none of the station's leader."""
    others = "The old generator ran at the station from 1980 to 1995. In 1987 the mast fell."
    assert in_told_years(QUESTION, [passage(1, others), passage(2, LED)]).endswith("from 1984 to 1990?")


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (QUESTION, f"{LED} Orson led the station in 1987."),
        ("Who led the station after 1987?", LED),
        ("Who led the station on 3 May 1987?", LED),
        ("How was the tariff changed in 2011?", "2010-12-01: The tariff was raised."),
        ("Who built the station tank in 1750?", "The station has a tank for 1500-1900 litres."),
        ("Who led the station in 1991?", LED),
        ("Who cooked the soup in 1987?", "The mast stood from 1984 to 1990."),
        ("Who led the station?", LED),
        ("Who led the station from 1984 to 1987?", LED),
        ("Who led the station in 1987 and in 1988?", LED),
    ],
)
def test_other_questions_stay_as_they_are(question: str, text: str) -> None:
    """The year is told, lies outside, its sentence is about something else, or there is no single year."""
    assert in_told_years(question, [passage(1, text)]) == question
