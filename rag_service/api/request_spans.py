"""One span for each request, as a part of its caller's trace if the caller has one.

FastAPI and Starlette have a middleware for this too. Theirs send the path and the query, in which people
write words of their own; ours sends the route's template. It is imported only where telemetry is on.
"""

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_service.logs import current_request_id

_CALLERS_TRACE = ("traceparent", "tracestate")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SERVER_ERROR = 500
_LEFT = 499
_propagator = TraceContextTextMapPropagator()


class RequestSpans:
    """Outermost, so that it sees every response; its span is the parent of those that the request brings."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        carrier = {name: headers[name] for name in _CALLERS_TRACE if name in headers}
        status = _LEFT  # what the log says too when the reader left before there was one

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._tracer.start_as_current_span(
            _method(scope),
            context=_propagator.extract(carrier),
            kind=SpanKind.SERVER,
            record_exception=False,  # its message may quote
            set_status_on_exception=False,
        ) as span:
            try:
                await self._app(scope, receive, send_and_look)
            except Exception:
                span.set_status(StatusCode.ERROR)  # the response broke off
                raise
            finally:
                _describe(span, scope, status)


def _describe(span: Span, scope: Scope, status: int) -> None:
    """Tell what is known when the request is over: the route was found below."""
    method = _method(scope)
    span.set_attributes(
        {
            "http.request.method": method,
            "http.response.status_code": status,
            "rag.request_id": current_request_id() or "",
        }
    )
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        span.update_name(f"{method} {route}")
        span.set_attribute("http.route", route)
    if status >= _SERVER_ERROR:
        span.set_status(StatusCode.ERROR)


def _method(scope: Scope) -> str:
    """Any word can be sent in the place of a method."""
    return scope["method"] if scope["method"] in _METHODS else "_OTHER"
