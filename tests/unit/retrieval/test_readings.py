"""What is read out of a reader's logits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.retrieval.readings import Found, Reading, answer_logit, as_reranker, joined
from tests.passages import passage

TEXT = "Agnes burns 13 litres."
SPANS = ((0, 5), (6, 11), (12, 14), (15, 21))


def reading(starts: list[float], ends: list[float], relevance: float = 0.0) -> Reading:
    """Return a reading of `TEXT`."""
    return Reading(relevance, SPANS, np.array(starts, dtype=np.float32), np.array(ends, dtype=np.float32))


def test_the_best_answer_goes_from_the_best_start_to_the_best_end_behind_it() -> None:
    """The likeliest end alone stands before the start, and an answer does not run backwards."""
    found = reading([0, 0, 4, 0], [5, 0, 0, 2]).best()
    assert found == Found(3.0, 12, 21)
    assert TEXT[found.start : found.end] == "13 litres"


def test_an_answer_may_be_looked_for_in_a_part() -> None:
    """Only tokens that lie within count; without any there is none."""
    read = reading([0, 0, 4, 0], [0, 0, 0, 2])
    assert read.best(0, 11) == Found(0.0, 0, 5)
    assert read.best(21, 21) is None


def test_a_passage_is_judged_by_both_heads() -> None:
    """The mean of relevance and of the likeliest answer's margin; the better, the higher it is ranked."""
    some, sure = reading([2, 0, 0, 0], [2, 0, 0, 0], 1.0), reading([4] * 4, [4] * 4, 3.0)
    assert answer_logit(some) == 1.5
    rerank = as_reranker(lambda _question, _passages: [some, sure])
    first, second = rerank("?", [passage(1, TEXT), passage(2, TEXT)])
    assert second - first == pytest.approx(0.05 * 2)


@given(st.lists(st.floats(-9, 9), min_size=4, max_size=4), st.lists(st.floats(-9, 9), min_size=4, max_size=4))
def test_the_best_answer_is_that_of_a_search_through_all(starts: list[float], ends: list[float]) -> None:
    """Against the two loops that it stands for."""
    every = [(starts[a] + ends[b]) / 2 for a in range(4) for b in range(a, 4)]
    found = reading(starts, ends).best()
    assert found is not None
    assert found.margin == pytest.approx(max(every), abs=1e-4)


def test_windows_of_a_text_make_one_reading() -> None:
    """Of what two windows have seen the surer view counts, and of the whole the likelier window's."""
    first = Reading(-1.0, SPANS[:3], np.array([1, 2, 3], np.float32), np.array([0, 0, 0], np.float32))
    second = Reading(2.0, SPANS[2:], np.array([5, 0], np.float32), np.array([-1, 6], np.float32))
    whole = joined([first, second])
    assert whole.relevance == 2.0
    assert whole.spans == SPANS
    assert whole.starts.tolist() == [1, 2, 5, 0]
    assert whole.ends.tolist() == [0, 0, 0, 6]
    assert joined([first]) is first
