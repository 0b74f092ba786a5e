"""The spans of one process, from where they are made to the collector.

A request or a document only puts its spans into a queue; a thread sends them in batches. A full queue drops
spans and keeps nobody waiting.
"""

import importlib.metadata
import threading
from contextlib import AbstractContextManager

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from corpus.database import Database
from corpus.originals import Originals
from rag_service.retrieval.search import SearchResult
from rag_service.telemetry.documents import DocumentSpans
from rag_service.telemetry.exporting import QuietExporter
from rag_service.telemetry.spans import AnswerSpan, answer_span, record_search

SERVICE = "rag-service"
FLUSH_S = 3.0


class Telemetry:
    """The spans of this process; made once, closed when it ends.

    The `OTEL_…` variables of the library hold too (headers, certificates, time limits, sampling, resource
    attributes); only the endpoint is ours.
    """

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is a collector's base address."""
        self._exporter = QuietExporter(endpoint)
        version = importlib.metadata.version(SERVICE)
        named = Resource.create({"service.name": SERVICE, "service.version": version})
        # Our own provider, and not the process-wide one: DBOS and FastAPI would send theirs to that.
        self._provider = TracerProvider(
            resource=named.merge(OTELResourceDetector().detect()),  # a name from the environment wins
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer(SERVICE, version)

    def answer(self) -> AbstractContextManager[AnswerSpan]:
        """Time the block as the answer to one question."""
        return answer_span(self.tracer)

    def record_search(self, result: SearchResult, mode: str) -> None:
        """Note a search that has just ended."""
        record_search(self.tracer, result, mode)

    def documents(self, database: Database, originals: Originals) -> DocumentSpans:
        """Return what notes the documents that a worker takes in."""
        return DocumentSpans(self.tracer, database, originals)

    def close(self, within_s: float = FLUSH_S) -> None:
        """Send what waits, for so many seconds at most; the rest is lost."""
        # The library's own limit is half a minute, and not kept while an export is tried again.
        flushing = threading.Thread(target=self._provider.shutdown, name="telemetry-flush", daemon=True)
        flushing.start()
        flushing.join(within_s)
        if flushing.is_alive():
            self._exporter.shutdown()
