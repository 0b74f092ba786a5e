"""One generation at a time, in order."""

import threading

import pytest

from rag_service.answering.chat_model import GenerationCancelled
from rag_service.answering.turn_queue import TurnQueue


def _never() -> bool:
    return False


def test_turns_are_given_in_order_of_arrival() -> None:
    """Nobody overtakes, and no two hold the turn at once."""
    queue, order, threads = TurnQueue(), list[int](), list[threading.Thread]()

    def take(number: int) -> None:
        with queue.turn(_never):
            order.append(number)

    with queue.turn(_never):
        for number in range(5):
            threads.append(threading.Thread(target=take, args=(number,)))
            threads[-1].start()
            while len(queue._tickets) < number + 2:
                pass
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4]


def test_a_caller_that_is_gone_leaves_the_queue() -> None:
    """It raises, and those behind it move up."""
    queue = TurnQueue()
    with queue.turn(_never):
        with pytest.raises(GenerationCancelled), queue.turn(lambda: True):
            pass
        assert len(queue._tickets) == 1
    with queue.turn(_never):
        pass
