"""Events from a thread to a reader who may leave."""

import json
import threading
import time
from collections.abc import Callable, Generator, Iterator

import anyio
import anyio.lowlevel
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.types import Message, Scope

from corpus.errors import CollectionNotFound, NotReady
from rag_service.api.errors import Problem, add_error_handlers, problem_document
from rag_service.api.sse import EventStream, Gone, json_data, last_event, sse_event
from rag_service.threads import AnswerThreads

Events = Callable[[Gone], Generator[bytes]]


def error_event(problem: Problem) -> bytes:
    """The error as an event."""
    return sse_event(json_data(problem_document(problem)), name="error")


def stream_app(make_events: Events, *, heartbeat_s: float = 10, places: int = 3) -> FastAPI:
    """An application with one route that streams, and one that waits for the last event."""
    app = FastAPI()
    add_error_handlers(app)
    threads = AnswerThreads(1, places - 1)

    @app.get("/stream")
    async def stream() -> EventStream:
        return EventStream(make_events, threads=threads, error_event=error_event, heartbeat_s=heartbeat_s)

    @app.get("/last")
    async def last(request: Request) -> str | None:
        event = await last_event(request, threads, make_events)
        return event.decode() if event else None

    return app


def read(make_events: Events, path: str = "/stream", *, heartbeat_s: float = 10) -> Response:
    """One request."""
    with TestClient(stream_app(make_events, heartbeat_s=heartbeat_s)) as client:
        return client.get(path)


def numbers(_gone: Gone) -> Generator[bytes]:
    """Three events."""
    for number in range(3):
        yield sse_event(str(number), name="delta")


def test_events_arrive_in_order() -> None:
    """Each event has its name and data, and the response is an uncached event stream."""
    response = read(numbers)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-cache"
    assert response.text == "".join(f"event: delta\ndata: {number}\n\n" for number in range(3))


def test_last_event_alone() -> None:
    """Without a stream the same work gives its last event."""
    assert read(numbers, "/last").json() == "event: delta\ndata: 2\n\n"


def test_unicode_stays_readable() -> None:
    """Letters are not escaped."""

    def events(_gone: Gone) -> Generator[bytes]:
        yield sse_event(json_data({"text": "é\n"}))

    assert read(events).content.decode() == 'data: {"text":"é\\n"}\n\n'


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e"])
def test_an_event_is_whole_for_readers_that_cut_at_any_line_end(end: str) -> None:
    """Python's `splitlines` and a pattern's full stop know more line ends than event streams have."""

    def events(_gone: Gone) -> Generator[bytes]:
        yield sse_event(json_data({"text": f"one{end}two"}), name="delta")

    name, data, blank = read(events).content.decode().splitlines()
    assert (name, blank) == ("event: delta", "")
    assert json.loads(data.removeprefix("data: ")) == {"text": f"one{end}two"}


@pytest.mark.parametrize("path", ["/stream", "/last"])
def test_error_before_the_first_event_is_a_status(path: str) -> None:
    """What is wrong from the beginning is a problem document like anywhere else."""

    def events(_gone: Gone) -> Generator[bytes]:
        raise CollectionNotFound("There is no such collection.")
        yield b""

    response = read(events, path)
    assert (response.status_code, response.json()["type"]) == (404, "/problems/collection-not-found")


@pytest.mark.parametrize(("error", "status"), [(NotReady("Gone away."), 503), (ValueError("secret"), 500)])
def test_error_in_the_middle_is_the_last_event(error: Exception, status: int) -> None:
    """The reader learns of it, without the inside of a bug."""

    def events(_gone: Gone) -> Generator[bytes]:
        yield sse_event("1")
        raise error

    text = read(events).text
    assert text.startswith("data: 1\n\nevent: error\n")
    assert f'"status":{status}' in text
    assert "secret" not in text


def test_silence_is_filled_with_comments() -> None:
    """While nothing happens a comment is sent every so often, the first events included."""

    def events(_gone: Gone) -> Generator[bytes]:
        time.sleep(0.25)
        yield sse_event("1")

    text = read(events, heartbeat_s=0.1).text
    assert text.startswith(": heartbeat\n\n: heartbeat\n\n")
    assert text.endswith("data: 1\n\n")


@pytest.mark.parametrize("path", ["/stream", "/last"])
def test_reader_that_leaves_ends_the_work(path: str) -> None:
    """The generator is closed at its next event, and its place is free again."""
    begun, closed = threading.Event(), threading.Event()

    def events(_gone: Gone) -> Iterator[bytes]:
        try:
            for number in range(1000):
                begun.set()
                time.sleep(0.01)
                yield sse_event(str(number))
        finally:
            closed.set()

    app = stream_app(events, places=1)  # type: ignore[arg-type] # a generator, typed as what it gives

    async def visit() -> None:
        await _request_and_leave(app, path, begun)
        assert await anyio.to_thread.run_sync(closed.wait, 2)
        await _request_and_leave(app, path, begun)  # with one place: it would be refused if that were taken

    anyio.run(visit)


def test_work_can_ask_whether_the_reader_is_gone() -> None:
    """Long work between two events need not wait for the next one."""
    begun, noticed = threading.Event(), threading.Event()

    def events(gone: Gone) -> Generator[bytes]:
        begun.set()
        while not gone():
            time.sleep(0.005)
        noticed.set()
        yield b""

    anyio.run(_request_and_leave, stream_app(events), "/stream", begun)
    assert noticed.is_set()


def test_too_many_answers_are_turned_away() -> None:
    """Beyond those that run and wait, a request gets 429 at once."""
    go_on = threading.Event()

    def events(_gone: Gone) -> Generator[bytes]:
        go_on.wait(5)
        yield sse_event("1")

    statuses: list[int] = []

    async def visit() -> None:
        app = stream_app(events, places=2)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(_status, app, statuses)
            await anyio.sleep(0.2)
            go_on.set()

    anyio.run(visit)
    assert sorted(statuses) == [200, 200, 429]


async def _status(app: FastAPI, statuses: list[int]) -> None:
    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(_scope("/stream"), receive, send)


async def _request_and_leave(app: FastAPI, path: str, begun: threading.Event) -> None:
    """Make a request, leave when the work has begun, and wait for the application to notice."""

    async def receive() -> Message:
        await anyio.to_thread.run_sync(begun.wait, 5)
        await anyio.sleep(0.05)
        return {"type": "http.disconnect"}

    async def send(_message: Message) -> None:
        await anyio.lowlevel.checkpoint()

    begun.clear()
    with anyio.fail_after(3):
        await app(_scope(path), receive, send)


def _scope(path: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [],
    }
