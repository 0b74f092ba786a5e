"""Sums as steps: what they are told from, and that they come to the same among other texts."""

from collections.abc import Sequence
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posttrain.data.sum_problems import SolvedProblem, Step, beside, solved, steps_of
from posttrain.data.sums_over_passages import sums_over_passages
from posttrain.data.word_problems import word_problems
from rag_service.answering.calculator import calculate
from rag_service.retrieval.quantities import CONSTANTS, Problem
from rag_service.retrieval.sum_heads import Operation

FIRST = len(CONSTANTS)
EGGS = Problem.of("Ada has 8 eggs and 5 cups. She sells 2 eggs. How many eggs are left?")


def test_a_sum_is_made_of_the_numbers_of_the_problem() -> None:
    """Places are those of the problem's values; what is divided by a number further in front is turned."""
    assert steps_of(EGGS, ["8-2"]) == (Step(Operation.DIFFERENCE, FIRST, FIRST + 2),)
    assert steps_of(EGGS, ["2/8"]) == (Step(Operation.UNDER, FIRST, FIRST + 2),)
    assert steps_of(EGGS, ["(8+5)*100"])[1] == Step(
        Operation.TIMES, CONSTANTS.index(Fraction(100)), FIRST + 3
    )


def test_later_sums_go_on_with_earlier_results_and_what_leads_nowhere_is_left_out() -> None:
    """2 * 8 = 16 is not needed; 8 + 5 = 13 is."""
    steps = steps_of(EGGS, ["2*8", "8+5", "13-2"])
    assert steps == (
        Step(Operation.PLUS, FIRST, FIRST + 1),
        Step(Operation.DIFFERENCE, FIRST + 2, FIRST + 3),
    )
    assert SolvedProblem(EGGS, steps).result == 11


@pytest.mark.parametrize("expression", ["8-77", "8/(2-2)", "8**2", "eggs", "8-"])
def test_what_is_no_sum_of_them_is_an_error(expression: str) -> None:
    """A number that stands nowhere, by nought, another operation, a word, half a sum."""
    with pytest.raises((ValueError, SyntaxError)):
        steps_of(EGGS, [expression])


def test_records_come_to_their_gold_answer() -> None:
    """Of word problems and of sums over passages nearly all can be told."""
    records = [*word_problems(60), *sums_over_passages(60)]
    found = [each for record in records if (each := solved(record))]
    assert len(found) > 110
    gold = {record.meta.gold[0] for record in records}
    assert all(each.result in {Fraction(answer) for answer in gold} for each in found)


@given(st.integers(0, 10_000), st.integers(0, 3))
def test_among_other_texts_it_is_the_same_sum(seed: int, others: int) -> None:
    """Wherever its own text comes to stand."""
    random = Random(seed)  # noqa: S311 - an order of texts, no secret
    texts = ["Tom has 31 cats, 8 of them white.", "It is 2.5 miles.", "Nothing."]
    found = SolvedProblem(EGGS, steps_of(EGGS, ["8+5", "13-2"]))
    among = beside(found, random.sample(texts, others), random)
    assert among
    assert among.result == found.result
    assert [each.operation for each in among.steps] == [each.operation for each in found.steps]
    assert EGGS.text in among.problem.text
    used = _used(among)
    assert used == ["8", "5", "2"]


def _used(found: SolvedProblem) -> Sequence[str]:
    """Return the numbers of the sum as they stand in its own text."""
    given = len(found.problem.values)
    places = [place - FIRST for step in found.steps for place in (step.first, step.second) if place < given]
    own = found.problem.whole.index(EGGS.text)
    chosen = [found.problem.quantities[place] for place in places]
    assert all(own <= each.start < own + len(EGGS.text) for each in chosen)
    return [found.problem.whole[each.start : each.end] for each in chosen]


@given(
    st.recursive(
        st.sampled_from("852"), lambda inner: st.tuples(inner, st.sampled_from("+*/"), inner), max_leaves=5
    )
)
def test_steps_compute_what_the_calculator_does(tree: str | tuple[str, str, str]) -> None:
    """For all expressions over the problem's numbers; differences, which have no sign here, apart."""

    def text(part: object) -> str:
        return part if isinstance(part, str) else f"({text(part[0])}{part[1]}{text(part[2])})"  # type: ignore[index]

    if isinstance(tree, str):
        return
    expression = text(tree)
    result = SolvedProblem(EGGS, steps_of(EGGS, [expression])).result
    assert result is not None
    assert float(result) == pytest.approx(float(calculate(expression).result), rel=1e-6)
