"""A worker for tests: real database, real durable workflows, a fake embedder, a parser of plain text."""

from pathlib import Path

from corpus.chunks import ParsedDocument
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import DamagedDocument
from corpus.originals import Originals
from indexer.targets import one_embedder
from indexer.workflows import Worker
from tests.fakes import FakeEmbedder


class PlainTextParser:
    """Decodes UTF-8; other bytes are damaged, and those that say so break the parser itself."""

    def parse(self, data: bytes, *, filename: str | None, media_type: str | None = None) -> ParsedDocument:
        """Return the text."""
        del filename, media_type
        if data.startswith(b"break the parser"):
            raise OSError("the disk is on fire")
        try:
            return ParsedDocument(text=data.decode(), media_type="text/plain")
        except UnicodeDecodeError as error:
            raise DamagedDocument("This is no UTF-8 text.") from error


def make_worker(database: Database, data_dir: Path, embedder: Embedder | None = None) -> Worker:
    """Return a worker that has not started yet."""
    return Worker(
        database,
        originals=Originals(data_dir / "originals"),
        parser=PlainTextParser(),
        find_embedder=one_embedder(embedder or FakeEmbedder()),
        data_dir=data_dir,
    )
