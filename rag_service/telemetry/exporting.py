"""The library's exporter for OTLP over HTTP, made quiet: a collector that is away is told once."""

import logging
import threading
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_log = logging.getLogger(__name__)


class QuietExporter(SpanExporter):
    """Sends batches; one line in the log when they are lost, and one when they arrive again."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._reasons = _Reasons()
        self._lost = False
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._closed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send a batch; never raises."""
        self._reasons.begin()
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
            self._reasons.first = f"{type(error).__name__}: {error}"
            result = SpanExportResult.FAILURE
        self._tell(lost=result is not SpanExportResult.SUCCESS)
        return result

    def _tell(self, *, lost: bool) -> None:
        if lost and not self._lost:
            _log.warning(
                "spans can not be sent to %s and are lost; this is told once until it works again (%s)",
                self._endpoint,
                self._reasons.first or "no reason given",
            )
        elif self._lost and not lost:
            _log.info("spans are sent to %s again", self._endpoint)
        self._lost = lost

    def shutdown(self) -> None:
        """Send nothing more; a batch that waits to be tried again is given up."""
        if not self._closed.is_set():
            self._closed.set()
            self._exporter.shutdown()  # type: ignore[no-untyped-call] # the library gives it no types

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return at once: nothing is kept here."""
        return self._exporter.force_flush(timeout_millis)


class _Reasons(logging.Handler):
    """Takes the library's log lines, several for each batch, and keeps the first one of the present batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first = ""

    def begin(self) -> None:
        """Forget the last batch. From the first one on, so that what is wrong with `OTEL_…` is in the log."""
        self.first = ""
        for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
            logger = logging.getLogger(name)
            logger.handlers[:] = [self]
            logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it if it is the first."""
        self.first = self.first or record.getMessage()
