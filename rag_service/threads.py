"""Who may use how many threads.

Routes do their blocking work in threads. Each kind of work has a number of its own, so that slow
answers can not take the threads of uploads, and nothing at all those of the health checks.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from corpus.errors import QueueFull

Result = TypeVar("Result")

# Together less than the 15 connections of the database's pool: a thread never waits for one in vain.
ROUTE_THREADS = 6
SEARCH_THREADS = 4
ANSWER_THREADS = 2  # more would not be faster: a model on a CPU uses all cores for one answer
HEALTH_THREADS = 1
WAITING_ANSWERS = 32


class Threads:
    """The limits of one application."""

    def __init__(self) -> None:
        self.search = anyio.CapacityLimiter(SEARCH_THREADS)
        self.answer = AnswerThreads(ANSWER_THREADS, WAITING_ANSWERS)
        self.health = anyio.CapacityLimiter(HEALTH_THREADS)

    def limit_routes(self) -> None:
        """Limit the event loop's default threads, on which FastAPI runs plain functions."""
        anyio.to_thread.current_default_thread_limiter().total_tokens = ROUTE_THREADS

    async def run_search(self, work: Callable[[], Result]) -> Result:
        """Run a search, or anything else that uses the embedder for a moment."""
        return await anyio.to_thread.run_sync(work, limiter=self.search)

    async def run_health_check(self, work: Callable[[], Result]) -> Result:
        """Run a look at the database that must not wait for other work."""
        return await anyio.to_thread.run_sync(work, limiter=self.health)


class AnswerThreads:
    """Some answers at a time, and a few that wait; more are turned away rather than kept waiting."""

    def __init__(self, running: int, waiting: int) -> None:
        self.limiter = anyio.CapacityLimiter(running)
        self._places = running + waiting
        self._taken = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, running or waiting.

        Raises:
            QueueFull: all are taken.
        """
        if self._taken >= self._places:
            raise QueueFull(f"{self._places} answers are being written or wait already; try again later.")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
