"""The search for the sums that a model would write."""

from collections.abc import Sequence
from itertools import product
from math import exp, log

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_service.answering.likeliest_sums import is_whole, likeliest_sums, may_begin

NUMBERS = frozenset({"3", "85", "40", "2.5"})
PIECES = {0: "3", 1: "8", 2: "5", 3: "+", 4: "*", 5: ")*", 6: "(", 7: "1"}
END = 8


@pytest.mark.parametrize(
    ("text", "begins", "whole"),
    [
        ("", True, False),
        ("8", True, False),
        ("85", True, False),
        ("85*3", True, True),
        ("(85+3)*2.5", True, True),
        ("(85+3", True, False),
        ("85+2.", True, False),
        ("86", False, False),
        ("85*8", True, False),
        ("8*3", False, False),
        ("85)", False, False),
        ("85(3", False, False),
        ("85**3", False, False),
        ("-85", False, False),
        ("3" + "+3" * 8, False, False),
    ],
)
def test_a_sum_is_of_whole_given_numbers(text: str, *, begins: bool, whole: bool) -> None:
    """Two and more of them, with brackets that close; not what only begins like one, nor too many."""
    assert may_begin(text, NUMBERS) is begins
    assert is_whole(text, NUMBERS) is whole


_OF_TWO = frozenset({"3", "8"})
_WAYS = [
    ids
    for length in (3, 5)
    for ids in product(PIECES, repeat=length)
    if is_whole("".join(PIECES[each] for each in ids), _OF_TWO)
]


@settings(deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=27, max_size=27))
def test_sums_come_out_in_the_order_of_their_probability(numbers: list[float]) -> None:
    """As a walk through all texts of three and of five tokens finds them, but for the unlikeliest."""
    tables = torch.tensor(numbers).view(3, 9).log_softmax(-1)

    def after(ids: Sequence[int]) -> torch.Tensor:
        return tables[len(ids) % 3]

    def cost(ids: Sequence[int]) -> float:
        return -sum(float(tables[place % 3][each]) for place, each in enumerate((*ids, END)))

    found = list(likeliest_sums(after, PIECES, END, _OF_TWO, most_steps=10_000))
    costs = [-each.log_probability for each in found]
    assert costs == sorted(costs)
    best: dict[str, float] = {}
    for ids in _WAYS:
        text = "".join(PIECES[each] for each in ids)
        best[text] = min(best.get(text, 99.0), cost(ids))
    likely = {text: value for text, value in best.items() if value < 6}
    told = {each.text: -each.log_probability for each in found}
    assert {text: pytest.approx(value, abs=1e-4) for text, value in likely.items()} == {
        text: told[text] for text in likely
    }


def test_a_text_made_in_two_ways_counts_once() -> None:
    """In the likelier one."""
    pieces = {0: "3", 1: "*", 2: "8", 3: "3*"}
    table = torch.tensor([log(0.4), log(0.3), log(0.1), log(0.1), log(0.1)])
    found = list(likeliest_sums(lambda _: table, pieces, 4, frozenset({"3", "8"}), most_steps=500))
    shares = [exp(each.log_probability) for each in found if each.text == "3*8"]
    assert shares == [pytest.approx(0.4 * 0.3 * 0.1 * 0.1)]


def test_a_search_ends() -> None:
    """After so many tokens that were looked at, with what was whole by then."""
    looked = []

    def after(ids: Sequence[int]) -> torch.Tensor:
        looked.append(ids)
        return torch.zeros(9).log_softmax(-1)

    assert not list(likeliest_sums(after, PIECES, END, NUMBERS, most_steps=3))
    assert len(looked) == 3
