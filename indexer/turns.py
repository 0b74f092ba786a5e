"""Who uses the embedder next: a document that somebody waits for goes before bulk work."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that urgent work gets first. It is given up often, so that urgent work waits little."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._taken = False
        self._urgent_waiting = 0

    @contextmanager
    def turn(self, *, urgent: bool) -> Iterator[None]:
        """Wait for the turn and hold it within the block."""
        with self._condition:
            if urgent:
                self._urgent_waiting += 1
                self._condition.wait_for(lambda: not self._taken)
                self._urgent_waiting -= 1
            else:
                self._condition.wait_for(lambda: not self._taken and not self._urgent_waiting)
            self._taken = True
        try:
            yield
        finally:
            with self._condition:
                self._taken = False
                self._condition.notify_all()

    @property
    def taken(self) -> bool:
        """Whether somebody holds the turn at this moment."""
        return self._taken
