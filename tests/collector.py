"""A real collector for OpenTelemetry on this machine: takes spans over HTTP and keeps them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class Collector:
    """What came, and how it is answered: by `status`, once `go_on` is set."""

    url: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    go_on: threading.Event = field(default_factory=threading.Event)

    @property
    def spans(self) -> list[Span]:
        """All spans that came."""
        return [
            span
            for body in self.bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def named(self, name: str) -> list[Span]:
        """Return the spans of a name, the earliest first."""
        return sorted((each for each in self.spans if each.name == name), key=began)

    def the(self, name: str) -> Span:
        """Return the only span of a name."""
        (span,) = self.named(name)
        return span

    def below(self, parent: Span) -> dict[str, Span]:
        """Return the spans right below another one, by name."""
        return {each.name: each for each in self.spans if each.parent_span_id == parent.span_id}


def began(span: Span) -> int:
    """Return when a span began, in nanoseconds since 1970."""
    return span.start_time_unix_nano


def attributes(span: Span) -> dict[str, object]:
    """Return what a span tells."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}


def milliseconds(span: Span) -> float:
    """Return how long a span is."""
    return (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000_000


@contextmanager
def running_collector(port: int = 0) -> Iterator[Collector]:
    """Yield a collector that runs until the end."""
    collector = Collector()
    collector.go_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.go_on.wait(20)
            if collector.status == 200:
                collector.bodies.append(body)
                collector.paths.append(self.path)
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            collector.go_on.set()
            server.shutdown()
            thread.join()
