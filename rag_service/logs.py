"""Log lines as text for people or as JSON for programs, each with the id of its request."""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_CHATTY = ("alembic", "httpx", "httpx2", "uvicorn.access")  # the last says less than `rag_service.access`
_PLAIN = frozenset(vars(logging.makeLogRecord({})))


def current_request_id() -> str | None:
    """Return the id of the request that this thread or task works for."""
    return _request_id.get()


def set_request_id(request_id: str) -> None:
    """Name the request that this task, and the threads it starts, work for from here on."""
    _request_id.set(request_id)


def configure_logging(form: Literal["text", "json"], level: int = logging.INFO) -> None:
    """Send the log to standard error; called once, where a program starts."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if form == "json" else _TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        line = super().formatMessage(record)
        request_id = current_request_id()
        return f"{line} [{request_id}]" if request_id else line


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": current_request_id(),
            **{key: value for key, value in vars(record).items() if key not in _PLAIN},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
