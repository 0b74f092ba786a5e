"""Work for processes that tests kill: what a client and its worker do, in one process.

The processes are forked from a server that has imported everything, so that a life begins in tenths of a
second and ends at any line of the work, not of the imports.
"""

import json
import multiprocessing
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sqlalchemy import func, select

from corpus.collections import active_generation, find_collection, find_or_create_collection
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import Conflict, DocumentNotFound, EmbedderMismatch, GenerationNotFound
from corpus.models import Document, Generation, JobItem
from corpus.originals import Originals
from indexer.deletion import remove_document
from indexer.intake import add_to_job, take_in
from indexer.jobs import create_job, seal_job
from indexer.rebuilds import request_compaction, request_reindex
from indexer.reindexing import activate_generation
from indexer.uploads import Upload
from indexer.workflows import Worker
from tests.fakes import FakeEmbedder
from tests.workers import PlainTextParser

FIRST = FakeEmbedder()
SECOND = FakeEmbedder(dimension=16, name="second")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload([__name__])


def start(work: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Start a process that does the work."""
    process = _context.Process(target=_run, args=(work, *arguments), daemon=True)
    process.start()
    return process


def _run(work: Callable[..., None], *arguments: object) -> None:
    """Do the work; a test that reads the exit code wants to see why it failed."""
    try:
        work(*arguments)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        raise


def find_embedder(embedder_id: str, _: str | None = None, /) -> Embedder:
    """Return one of the two embedders."""
    for embedder in (FIRST, SECOND):
        if embedder.id == embedder_id:
            return embedder
    raise EmbedderMismatch(embedder_id)


def make_worker(database: Database, data_dir: Path) -> Worker:
    """Return a worker with both embedders."""
    return Worker(
        database,
        originals=Originals(data_dir / "originals"),
        parser=PlainTextParser(),
        find_embedder=find_embedder,
        data_dir=data_dir,
    )


def ingest_folder(url: str, data_dir: Path, folder: Path) -> None:
    """Take in every file of a folder, and end when all of it has been read."""
    database = Database(url)
    originals = Originals(data_dir / "originals")
    with database.write() as session:
        collection = find_or_create_collection(session, name="default", embedder=FIRST).id
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    with make_worker(database, data_dir):
        files = sorted(folder.iterdir())
        uploads = ((file.read_bytes(), Upload(collection, external_id=file.name)) for file in files)
        add_to_job(database, originals, job_id, uploads)
        with database.write() as session:
            seal_job(session, job_id)
        wait_until_all_is_read(database)


def wait_until_all_is_read(database: Database) -> None:
    """Return when no document waits and no generation is being built."""
    open_items = select(func.count()).select_from(JobItem).where(JobItem.state.in_(("queued", "running")))
    building = select(func.count()).select_from(Generation).where(Generation.state.in_(("building", "ready")))
    while True:
        with database.read() as session:
            if session.scalar(open_items) == session.scalar(building) == 0:
                return
        time.sleep(0.05)


def do_anything(url: str, data_dir: Path, log: Path, seed: int) -> None:
    """Upload, replace, delete, compact, reindex and roll back at random until killed.

    What is about to be done to a document is written to `log` before, what was done after.
    """
    database = Database(url)
    choice = random.Random(seed)  # noqa: S311 - moments, no secrets
    with make_worker(database, data_dir), log.open("a") as notes:
        client = _Client(database, Originals(data_dir / "originals"), notes.fileno(), choice)
        actions = [
            client.upload,
            client.upload,
            client.delete,
            client.compact,
            client.reindex,
            client.roll_back,
        ]
        while True:
            choice.choice(actions)()
            time.sleep(choice.uniform(0, 0.05))


def work_on(url: str, data_dir: Path) -> None:
    """Be a worker until killed."""
    with make_worker(Database(url), data_dir):
        while True:
            time.sleep(1)


def settle(url: str, data_dir: Path) -> None:
    """Let a worker finish everything that was begun."""
    database = Database(url)
    with make_worker(database, data_dir):
        wait_until_all_is_read(database)


class _Client:
    """Does one thing at a time and notes it."""

    def __init__(self, database: Database, originals: Originals, notes: int, choice: random.Random) -> None:
        self._database = database
        self._originals = originals
        self._notes = notes
        self._choice = choice
        with database.read() as session:
            self._collection = find_collection(session, "default").id

    def upload(self) -> None:
        """Upload a text under one of a few external ids: a new document or a new version."""
        name = f"document-{self._choice.randrange(40)}"
        text = f"{name} says {self._choice.randrange(1_000_000)}. " * self._choice.randrange(1, 12)
        self._note("about", name, text)
        take_in(self._database, self._originals, text.encode(), Upload(self._collection, external_id=name))
        self._note("done", name, text)

    def delete(self) -> None:
        """Delete a document, if there is one."""
        with self._database.read() as session:
            known = session.execute(select(Document.id, Document.external_id)).all()
        if not known:
            return
        document_id, name = self._choice.choice(known)
        self._note("about", name, None)
        with suppress(DocumentNotFound):
            remove_document(self._database, self._originals, document_id)
        self._note("done", name, None)

    def compact(self) -> None:
        """Ask for a compaction, unless one is under way."""
        self._ask(lambda session: request_compaction(session, self._collection))

    def reindex(self) -> None:
        """Ask for the other embedder and another chunking, unless a rebuild is under way."""
        with self._database.read() as session:
            active = active_generation(session, self._collection).embedder
        embedder = SECOND if active == FIRST.id else FIRST
        tokens = self._choice.choice([40, 64])
        self._ask(
            lambda session: request_reindex(
                session, self._collection, embedder=embedder, max_tokens=tokens, overlap=0
            )
        )

    def roll_back(self) -> None:
        """Let the former generation serve again, if there is one."""
        with self._database.read() as session:
            former = session.scalar(select(Generation.id).where(Generation.state == "retired"))
        if former is not None:
            with suppress(Conflict, GenerationNotFound):  # the worker may discard it at this moment
                activate_generation(self._database, former)

    def _ask(self, request: Callable[..., object]) -> None:
        with suppress(Conflict), self._database.write() as session:
            request(session)

    def _note(self, stage: str, name: str, text: str | None) -> None:
        os.write(self._notes, (json.dumps([stage, name, text]) + "\n").encode())
