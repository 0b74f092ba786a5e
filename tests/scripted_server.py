"""A real HTTP server on this machine that answers chat completions by a script."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]
USAGE = {"prompt_tokens": 20, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 12}}


@dataclass
class ScriptedServer:
    """What is to be answered, one entry a request, and what was asked."""

    url: str = ""
    script: list[Answer] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)

    def hang(self, handler: BaseHTTPRequestHandler) -> None:
        """Send nothing more; set `left` when the client is gone."""
        while handler.connection.recv(1):
            pass
        self.left.set()


@contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    """Yield a server that runs until the end."""
    scripted = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            scripted.asked.append(json.loads(body) | {"path": self.path})
            scripted.headers.append({name.lower(): value for name, value in self.headers.items()})
            scripted.script.pop(0)(self)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        scripted.url = f"http://127.0.0.1:{server.server_port}/v1"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield scripted
        finally:
            server.shutdown()
            thread.join()


def begin(handler: BaseHTTPRequestHandler) -> None:
    """Send the head of a stream."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
    handler.end_headers()


def chunk(text: str = "", *, finish: str | None = None, **fields: object) -> str:
    """Return one event; further fields are the choice's."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish} | fields
    return json.dumps({"object": "chat.completion.chunk", "choices": [choice]}, ensure_ascii=False)


def usage(**fields: object) -> str:
    """Return the event that ends a stream whose client asked for the tokens."""
    return json.dumps({"choices": [], "usage": USAGE | fields})


def events(*data: str) -> Answer:
    """Answer by these events and close the connection."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        begin(handler)
        for item in data:
            handler.wfile.write(f"data: {item}\n\n".encode())

    return answer


def said(*texts: str, finish: str = "stop", **fields: object) -> Answer:
    """Answer as a proper server does: role, texts, finish, usage, end."""
    return events(
        chunk(), *(chunk(text) for text in texts), chunk(finish=finish, **fields), usage(), "[DONE]"
    )


def status(code: int, message: str = "", **headers: str) -> Answer:
    """Answer by an error."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"error": {"message": message}}).encode()
        handler.send_response(code)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def raw(data: bytes, content_type: str = "text/event-stream") -> Answer:
    """Answer by these bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", content_type)
        handler.end_headers()
        handler.wfile.write(data)

    return answer
