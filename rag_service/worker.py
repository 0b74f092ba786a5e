"""The worker inside the service's process, and the parser processes that belong to it."""

from dataclasses import dataclass

from corpus.database import Database
from corpus.originals import Originals
from corpus.settings import Settings
from indexer.parsing.sandbox import ParserPool
from indexer.targets import FindEmbedder
from indexer.workflows import Worker

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
    settings: Settings, database: Database, originals: Originals, find_embedder: FindEmbedder
) -> RunningWorker:
    """Start to take up jobs in threads of this process."""
    parser = ParserPool(
        timeout_s=settings.parse_timeout_s, memory_mb=settings.parse_memory_mb, workers=PARSERS
    )
    worker = Worker(
        database,
        originals=originals,
        parser=parser,
        find_embedder=find_embedder,
        data_dir=settings.data_dir,
    )
    worker.start()
    return RunningWorker(worker, parser)
