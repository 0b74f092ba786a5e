"""What surrounds every request: its id, its log line, its place in the metrics, and a limit on its body.

Both are plain ASGI, because Starlette's request/response middleware would put a buffer between a
streamed answer and its reader, and hide the reader's departure.
"""

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag_service.api.errors import (
    TOO_LARGE,
    Problem,
    body_too_large,
    problem_response,
    unexpected_problem,
)
from rag_service.logs import set_request_id
from rag_service.metrics import Metrics

REQUEST_ID_HEADER = "X-Request-ID"
_SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_MULTIPART_OVERHEAD = 64 * 1024  # headers of the parts, and the other fields of the form
_FILES_OF_A_JOB = 20  # a job's upload may be as large as this many largest files

_access_log = logging.getLogger("rag_service.access")
_log = logging.getLogger(__name__)


class RequestRecord:
    """Names each request, logs and counts it, and turns an unexpected error into a 500 that tells nothing."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get(REQUEST_ID_HEADER))
        set_request_id(request_id)
        sent = _Sent(send, request_id)
        began = time.perf_counter()
        try:
            await self._app(scope, receive, sent)
        except Exception:
            _log.exception("unexpected error in %s %s", scope["method"], scope["path"])
            if sent.status is not None:
                raise  # part of the response is out already: only breaking it off tells the reader
            await problem_response(scope["path"], unexpected_problem())(scope, receive, sent)
        finally:
            self._record(scope, sent.status, time.perf_counter() - began)

    def _record(self, scope: Scope, status: int | None, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        # Without a status the reader left before there was one; 499 is what proxies write then.
        status = status or 499
        self._metrics.count_request(scope["method"], route, status, seconds)
        fields = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "duration_ms": round(seconds * 1000, 1),
        }
        _access_log.info(
            "%(method)s %(path)s %(status)d %(duration_ms).1f ms", fields, extra={"request": fields}
        )


class _Sent:
    """Adds the request id to the response, and remembers its status."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id
        self.status: int | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID_HEADER] = self._request_id
        await self._send(message)


class BodyLimit:
    """Refuses a body above its limit: at once where its length is told, else while it comes in."""

    def __init__(self, app: ASGIApp, *, json_bytes: int, upload_bytes: int) -> None:
        self._app = app
        self._json_bytes = json_bytes
        self._upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limit(scope["path"])
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            problem = Problem(TOO_LARGE, body_too_large(limit).detail)
            await problem_response(scope["path"], problem, {"Connection": "close"})(scope, receive, send)
            return
        await self._app(scope, _counting(receive, limit), send)

    def _limit(self, path: str) -> int:
        if path.startswith("/v1/documents"):
            return self._upload_bytes + _MULTIPART_OVERHEAD
        if path.startswith("/v1/ingestion_jobs"):
            return self._upload_bytes * _FILES_OF_A_JOB + _MULTIPART_OVERHEAD
        return self._json_bytes


def _counting(receive: Receive, limit: int) -> Receive:
    """Wrap `receive` so that it raises once more than `limit` bytes came."""
    total = 0

    async def receive_within_limit() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > limit:
            raise body_too_large(limit)
        return message

    return receive_within_limit


def _request_id(given: str | None) -> str:
    """Keep a request id that is safe in a header and a log line; make one otherwise."""
    return given if given and _SANE_REQUEST_ID.fullmatch(given) else secrets.token_hex(16)
