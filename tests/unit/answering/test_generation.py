"""Choosing tokens and noticing when to stop."""

import pytest
import torch

from rag_service.answering.chat_model import Sampling
from rag_service.answering.generation import common_length, is_loop, token_chooser

LOGITS = torch.tensor([0.0, 3.0, 2.9, -1.0])


def test_temperature_zero_takes_the_likeliest_that_is_allowed() -> None:
    """A banned token is never chosen, however likely."""
    assert token_chooser(Sampling(), [])(LOGITS) == 1
    assert token_chooser(Sampling(), [1])(LOGITS) == 2


def test_a_seed_makes_draws_repeatable() -> None:
    """The same seed gives the same tokens; draws differ among themselves."""

    def draw(seed: int) -> list[int]:
        choose = token_chooser(Sampling(temperature=1.0, seed=seed), [])
        return [choose(LOGITS) for _ in range(40)]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)
    assert len(set(draw(5))) > 1


@pytest.mark.parametrize(
    ("written", "loop"),
    [
        ([1] * 30, True),
        ([1] * 29, False),
        ([*range(100), *[1, 2, 3] * 10], True),
        ([1, 2, 3] * 9, False),
        (list(range(40)) * 3, True),
        (list(range(40)) * 2, False),
        (list(range(41)) * 9, False),
        ([], False),
    ],
)
def test_a_loop_is_one_sequence_over_and_over(written: list[int], *, loop: bool) -> None:
    """At least thirty tokens and three times; a list with some repetition is none."""
    assert is_loop(written) is loop


def test_common_length_counts_equal_first_items() -> None:
    """It is how much of a cache can stay."""
    assert common_length([1, 2, 3], [1, 2, 4]) == 2
    assert common_length([1, 2], [1, 2, 3]) == 2
    assert common_length([], [1]) == 0
