"""One generation at a time, in order of arrival."""

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from rag_service.answering.chat_model import Cancelled, GenerationCancelled

_LOOK_EVERY_S = 0.05  # how soon a waiting caller that is gone leaves the queue


class TurnQueue:
    """A lock that is given to waiting threads in order; `threading.Lock` promises none."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._tickets: deque[object] = deque()

    @contextmanager
    def turn(self, cancelled: Cancelled) -> Iterator[None]:
        """Wait for the turn and hold it.

        Raises:
            GenerationCancelled: `cancelled` became true before the turn came.
        """
        ticket = object()
        with self._condition:
            self._tickets.append(ticket)
        try:
            self._wait(ticket, cancelled)
            yield
        finally:
            with self._condition:
                self._tickets.remove(ticket)
                self._condition.notify_all()

    def _wait(self, ticket: object, cancelled: Cancelled) -> None:
        with self._condition:
            while self._tickets[0] is not ticket:
                if cancelled():
                    raise GenerationCancelled("Nobody waits for this answer any more.")
                self._condition.wait(_LOOK_EVERY_S)
