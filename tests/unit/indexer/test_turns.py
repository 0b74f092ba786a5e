"""Turns at the embedder."""

import threading
import time

import pytest

from indexer.turns import Turns


def test_urgent_work_goes_before_bulk_work_that_waits_longer() -> None:
    """Bulk work has to wait as long as anything urgent waits."""
    turns = Turns()
    order: list[str] = []

    def work(name: str, *, urgent: bool) -> None:
        with turns.turn(urgent=urgent):
            order.append(name)

    with turns.turn(urgent=False):
        assert turns.taken
        threads = [threading.Thread(target=work, args=("bulk",), kwargs={"urgent": False})]
        threads += [
            threading.Thread(target=work, args=(f"urgent {n}",), kwargs={"urgent": True}) for n in range(3)
        ]
        for thread in threads:
            thread.start()
            time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert order[-1] == "bulk"
    assert not turns.taken


def test_a_turn_that_fails_is_given_up() -> None:
    """An exception within the block does not block the others."""
    turns = Turns()
    with pytest.raises(ValueError, match="broken"), turns.turn(urgent=True):
        raise ValueError("broken")
    with turns.turn(urgent=False):
        assert turns.taken
