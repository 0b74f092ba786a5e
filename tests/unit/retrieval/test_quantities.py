"""The numbers of a problem, and the row that a sum reader reads."""

from fractions import Fraction

import pytest

from corpus.embedding import find_model
from rag_service.retrieval.quantities import (
    CONSTANTS,
    MARK,
    Problem,
    ProblemTokenizer,
    is_readable,
    quantities,
    same,
    share_of,
)
from rag_service.retrieval.reader import BASE

TOLD = "Ada has 1,200 eggs and sells twelve of them on 12.03.2019 at 6:30. How many are left?"


def test_numbers_are_told_with_their_places_and_times_are_none() -> None:
    """Figures and letters alike, in the order of the text."""
    found = quantities(TOLD)
    assert [each.value for each in found] == [1200, 12]
    assert [TOLD[each.start : each.end] for each in found] == ["1,200", "twelve"]


def test_the_question_of_a_problem_is_its_last_sentence() -> None:
    """Its numbers come first; what is asked about a text stays whole."""
    told = Problem.of("Ada has 5 eggs. She sells 2. How many of the 5 are left?")
    assert (told.question, told.text) == ("How many of the 5 are left?", "Ada has 5 eggs. She sells 2.")
    assert told.values == [*CONSTANTS, 5, 5, 2]
    assert Problem.of("One. Two?", "Three.").question == "One. Two?"
    assert Problem.of("What is 2 and 3?") == Problem.of("What is 2 and 3?", "")


@pytest.mark.parametrize(
    ("question", "text"), [("What is 2.5 and 3?", ""), ("And 7?", "Of 1,200 [SEP] # 8 are.")]
)
def test_each_number_is_one_mark_in_its_row(question: str, text: str) -> None:
    """Whatever it is; a text that names a special token, or holds the mark, has none of its own."""
    tokenizer = ProblemTokenizer(find_model(BASE))
    problem = Problem.of(question, text)
    row = tokenizer.row(problem)
    assert [row.ids[place] for place in row.places] == [tokenizer.mark] * len(problem.quantities)
    other = Problem.of(question.replace("7", "99999"), text.replace("8", "4.25"))
    assert tokenizer.row(other).ids == row.ids
    assert row.ids.count(row.ids[-1]) == 2  # [SEP]
    assert text.count(MARK) + len(row.places) == row.ids.count(tokenizer.mark)
    assert is_readable(problem, row)


def test_a_problem_without_numbers_or_with_too_many_is_not_read() -> None:
    """Nor one that is too long."""
    tokenizer = ProblemTokenizer(find_model(BASE))
    for text in ("None.", "3 " * 25, "3 " + "word " * 400):
        problem = Problem.of("How many?", text)
        assert not is_readable(problem, tokenizer.row(problem))


def test_results_are_one_up_to_what_a_calculator_rounds() -> None:
    """A third is 0.333333333."""
    third = Fraction("0.333333333")
    assert same(Fraction(1, 3), third)
    assert not same(Fraction(1, 3), Fraction("0.3334"))
    results = ((Fraction(1, 3), 0.5), (Fraction(2), 0.25))
    assert share_of(results, third) == 0.5
    assert share_of(results, Fraction(7)) == 0
