"""This service in its own process: documents go through the same jobs as an upload's."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from measuring import DEPTH, Program, measure

from corpus.collections import find_or_create_collection
from corpus.settings import Settings
from indexer.intake import add_to_job
from indexer.jobs import create_job, find_job, seal_job
from indexer.uploads import Upload
from rag_service.cli.workplace import open_service
from rag_service.retrieval.search import Mode, SearchRequest

LOOK_EVERY_S = 0.2


class Own(Program):
    """The parts of the service, without HTTP."""

    modes: Sequence[Mode] = ("dense", "hybrid")

    def __init__(self, model: str, folder: Path) -> None:
        self._opened = ExitStack()
        self._service = self._opened.enter_context(open_service(Settings(data_dir=folder, embedder=model)))
        embedder = self._service.embedder.make()
        embedder.embed_queries(["to warm up"])
        with self._service.database.write() as session:
            self._collection = find_or_create_collection(session, name="default", embedder=embedder).id
        self._retriever = self._service.retriever.make()
        self._service.worker.make()

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Hand all in, wait until they are read, and search once: that brings the indexes up to them."""
        database = self._service.database
        with database.write() as session:
            job = create_job(session, "ingestion", collection_id=self._collection, receiving=True).id
        uploads = (
            (
                text["text"].encode(),
                Upload(self._collection, filename=f"{key}.txt", external_id=key, title=text["title"] or None),
            )
            for key, text in zip(ids, texts, strict=True)
        )
        add_to_job(database, self._service.originals, job, uploads)
        with database.write() as session:
            seal_job(session, job)
        while not self._is_over(job):
            time.sleep(LOOK_EVERY_S)
        self.search("hybrid", "to bring the indexes up")

    def search(self, mode: Mode, query: str) -> list[str]:
        """Return the best documents."""
        request = SearchRequest(query, mode=mode, top_k=DEPTH, per_document=1)
        return [each.external_id or "" for each in self._retriever.search(request).passages]

    def _is_over(self, job: str) -> bool:
        with self._service.database.read() as session:
            return find_job(session, job).finished_at is not None

    def close(self) -> None:
        """Stop the worker."""
        self._opened.close()


if __name__ == "__main__":
    measure(Own, ["rag-service", "faiss-cpu", "torch"])
