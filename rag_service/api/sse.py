"""Server-sent events from work that a thread does.

The thread that makes the events and the reader that takes them meet at a queue without room: each
event waits until it is sent, so a slow reader slows the work down and nothing piles up. When the reader
is gone the queue is closed, and the work ends at its next event, or sooner if it asks `Gone`.
"""

import json
import logging
import threading
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import CancelledError
from contextlib import closing, suppress
from typing import TypeVar

import anyio
from anyio import CancelScope
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from fastapi import Request
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from corpus.errors import CorpusError
from rag_service.api.errors import Problem, problem_of, unexpected_problem
from rag_service.threads import AnswerThreads

HEARTBEAT_S = 10.0
READER_GONE = 499  # what proxies log for it; nobody is there to receive it
HEARTBEAT = b": heartbeat\n\n"

_READER_LEFT = (anyio.BrokenResourceError, CancelledError)  # what sending raises in the thread then

# Line ends of Unicode. They end no line of an event stream, but lines as many readers cut them, such as
# Python's `str.splitlines`. JSON has them inside texts alone, where their escape says the same.
_LINE_ENDS = str.maketrans({end: f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"})

Item = TypeVar("Item")
Gone = Callable[[], bool]
_log = logging.getLogger(__name__)


def sse_event(data: str, *, name: str | None = None) -> bytes:
    """Return one event; `data` is JSON, which has no line breaks of its own."""
    heading = f"event: {name}\n" if name else ""
    return f"{heading}data: {data.translate(_LINE_ENDS)}\n\n".encode()


def json_data(value: object) -> str:
    """Return a value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class EventStream(Response):
    """A response that sends events while a thread makes them.

    An error before the first event is raised, and becomes an ordinary problem document; a later one
    becomes the stream's last event, as `error_event` has it. Silence is filled with comments, so that
    neither proxies nor readers take the connection for dead.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        make_events: Callable[[Gone], Generator[bytes]],
        *,
        threads: AnswerThreads,
        error_event: Callable[[Problem], bytes],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._make_events = make_events
        self._threads = threads
        self._error_event = error_event
        self._heartbeat_s = heartbeat_s
        self._gone = threading.Event()
        self._started = False
        self._error: Exception | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send all events, or as many as the reader stays for."""
        async with self._threads.place(), anyio.create_task_group() as tasks:
            sender, receiver = anyio.create_memory_object_stream[bytes](0)
            tasks.start_soon(_watch, receive, self._gone, tasks.cancel_scope)
            tasks.start_soon(self._produce, sender)
            await self._forward(receiver, send)
            tasks.cancel_scope.cancel()
        if self._error is not None and not self._started and not self._gone.is_set():
            raise self._error

    async def _produce(self, sender: MemoryObjectSendStream[bytes]) -> None:
        async with sender:
            try:
                await anyio.to_thread.run_sync(self._run, sender, limiter=self._threads.limiter)
            except Exception as error:  # noqa: BLE001 - it is raised, or told to the reader, at the end
                self._error = error

    def _run(self, sender: MemoryObjectSendStream[bytes]) -> None:
        with closing(self._make_events(self._gone.is_set)) as events, suppress(*_READER_LEFT):
            for event in events:
                anyio.from_thread.run(sender.send, event)

    async def _forward(self, receiver: MemoryObjectReceiveStream[bytes], send: Send) -> None:
        async with receiver:
            while True:
                event = HEARTBEAT
                with anyio.move_on_after(self._heartbeat_s):
                    try:
                        event = await receiver.receive()
                    except anyio.EndOfStream:
                        break
                await self._send(event, send)
        if self._error is not None and self._started:
            await self._send(self._last_words(self._error), send)
        if self._started:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, event: bytes, send: Send) -> None:
        if not self._started:
            self._started = True
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
        await send({"type": "http.response.body", "body": event, "more_body": True})

    def _last_words(self, error: Exception) -> bytes:
        if isinstance(error, CorpusError):
            return self._error_event(problem_of(error))
        _log.error("unexpected error in a stream", exc_info=error)
        return self._error_event(unexpected_problem())


async def last_event(
    request: Request, threads: AnswerThreads, make_events: Callable[[Gone], Generator[Item]]
) -> Item | None:
    """Return the last event of work that a thread does; None: the reader left, and the work ended early."""

    def run(gone: Gone) -> Item | None:
        last: Item | None = None
        with closing(make_events(gone)) as events:
            for event in events:
                if gone():
                    return None
                last = event
        return last

    async with threads.place():
        return await while_wanted(
            request, lambda gone: anyio.to_thread.run_sync(run, gone, limiter=threads.limiter)
        )


async def while_wanted(request: Request, work: Callable[[Gone], Awaitable[Item]]) -> Item | None:
    """Return what `work` returns; None: the reader left, and the work was cancelled.

    A thread can not be cancelled: what runs in one is waited for, and should ask `Gone`.
    """
    gone = threading.Event()
    result: Item | None = None
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_watch, request.receive, gone, tasks.cancel_scope)
        try:
            result = await work(gone.is_set)
        except Exception as caught:  # noqa: BLE001 - raised below, where no task group wraps it
            error = caught
        tasks.cancel_scope.cancel()
    if gone.is_set():
        return None
    if error is not None:
        raise error
    return result


async def _watch(receive: Receive, gone: threading.Event, scope: CancelScope) -> None:
    """Wait for the reader to leave, and then end the work for it."""
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()
    scope.cancel()
