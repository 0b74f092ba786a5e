"""The worker inside the service's process, and the parser processes that belong to it."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from corpus.database import Database
from corpus.originals import Originals
from corpus.settings import Settings
from indexer.parsing.sandbox import ParserPool
from indexer.targets import FindEmbedder
from indexer.workflows import Worker

if TYPE_CHECKING:
    from rag_service.telemetry.collector import Telemetry

PARSERS = 2  # bulk work has one job at a time, so one is left for what somebody waits for


@dataclass(frozen=True, slots=True)
class RunningWorker:
    """A worker that takes up jobs until it is stopped."""

    worker: Worker
    parser: ParserPool

    def stop(self) -> None:
        """Stop between two steps; what is unfinished goes on with the next worker."""
        self.worker.begin_stop()
        self.parser.close()  # a document that is being read does not hold up the end
        self.worker.stop()


def start_worker(
    settings: Settings,
    database: Database,
    originals: Originals,
    find_embedder: FindEmbedder,
    telemetry: "Telemetry | None" = None,
) -> RunningWorker:
    """Start to take up jobs in threads of this process; with telemetry each document leaves a span."""
    parser = ParserPool(
        timeout_s=settings.parse_timeout_s, memory_mb=settings.parse_memory_mb, workers=PARSERS
    )
    spans = None if telemetry is None else telemetry.documents(database, originals)
    worker = Worker(
        database,
        originals=originals,
        parser=parser if spans is None else spans.around(parser),
        find_embedder=find_embedder,
        data_dir=settings.data_dir,
        watch=nullcontext if spans is None else spans.watch,
    )
    worker.start()
    return RunningWorker(worker, parser)
