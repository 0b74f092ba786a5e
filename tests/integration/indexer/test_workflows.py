"""A worker in this process, on both databases."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from corpus.chunks import ParsedDocument
from corpus.collections import create_collection
from corpus.database import Database
from corpus.follower import Follower
from corpus.models import Chunk, Document, DocumentVersion, Embedding, Job, Tombstone
from corpus.originals import Originals
from indexer.deletion import remove_document
from indexer.intake import Accepted, add_to_job, take_in
from indexer.jobs import cancel_job, create_job, retry_job, seal_job
from indexer.progress import list_items
from indexer.repair import queue_reading
from indexer.targets import one_embedder
from indexer.uploads import EXACT_TEXT, Upload
from indexer.workflows import Worker
from tests.fakes import FakeEmbedder
from tests.workers import make_worker


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Return the store that the worker reads."""
    return Originals(tmp_path / "originals")


@pytest.fixture
def collection(database: Database) -> str:
    """Return the id of an empty collection."""
    with database.write() as session:
        return create_collection(session, name="default", embedder=FakeEmbedder()).id


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Iterator[Worker]:
    """Yield a running worker."""
    with make_worker(database, tmp_path) as worker:
        yield worker


def finish(worker: Worker, accepted: Accepted) -> str:
    """Wait for the job of an upload; return how it ended."""
    assert accepted.job is not None
    return worker.wait(accepted.job.id, timeout_s=20).status


def show(database: Database, document_id: str) -> Document:
    """Return a document as it is now."""
    with database.read() as session:
        return session.get_one(Document, document_id)


def test_an_upload_becomes_searchable(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """Text, exact chunks and one vector a chunk are in the database, under one change number."""
    accepted = take_in(
        database, originals, b"The generator burns oil.", Upload(collection, filename="oil.txt")
    )
    assert finish(worker, accepted) == "completed"
    document = show(database, accepted.document.id)
    assert (document.status, document.title, document.media_type, document.chunk_count) == (
        "ready",
        "oil",
        "text/plain",
        1,
    )
    with database.read() as session:
        version = session.scalars(select(DocumentVersion)).one()
        chunk = session.scalars(select(Chunk)).one()
        embedding = session.scalars(select(Embedding)).one()
    assert version.text == "The generator burns oil."
    assert version.text[chunk.start : chunk.end] == chunk.text
    assert chunk.change_number == embedding.change_number
    vector = np.frombuffer(embedding.vector, dtype="<f2").astype(np.float32)
    assert np.allclose(vector, FakeEmbedder().embed_passages(["oil\nThe generator burns oil."]), atol=1e-3)


def test_a_small_upload_is_ready_within_a_second(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """From the commit of the upload to `ready`, with a worker that has nothing else to do."""
    finish(worker, take_in(database, originals, b"warm up", Upload(collection)))
    times = []
    for number in range(3):
        started = time.monotonic()
        finish(worker, take_in(database, originals, f"text {number}".encode(), Upload(collection)))
        times.append(time.monotonic() - started)
    assert min(times) < 1


def test_a_small_upload_is_found_by_its_words_while_the_embedder_is_busy(
    worker: Worker, database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """Its chunks come before their vectors; then all of it takes their place."""
    follower = Follower(database, tmp_path / "generations")
    follower.indexes(collection)
    with worker._bench.turns.turn(urgent=False):
        accepted = take_in(database, originals, b"an urgent telegram", Upload(collection))
        deadline = time.monotonic() + 5
        found: list[tuple[int, float]] = []
        while not found and time.monotonic() < deadline:
            time.sleep(0.02)
            follower.refresh()
            found = follower.indexes(collection).lexical.search("telegram", 1)
        assert len(found) == 1
        assert len(follower.indexes(collection).vectors) == 0
        assert show(database, accepted.document.id).status == "processing"
    assert finish(worker, accepted) == "completed"
    follower.refresh()
    indexes = follower.indexes(collection)
    assert indexes.vectors.ids().tolist() == sorted(indexes.lexical.ids())
    assert len(indexes.vectors) == 1


def test_a_given_text_comes_back_exactly(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """No parser touches a text that came as JSON."""
    text = "\ufeffbreak the parser\r\n\tand keep  this \u00a0 \n"
    accepted = take_in(database, originals, text.encode(), Upload(collection, media_type=EXACT_TEXT))
    assert finish(worker, accepted) == "completed"
    with database.read() as session:
        assert session.scalars(select(DocumentVersion.text)).one() == text


def test_a_replacement_takes_the_place_of_the_old_version(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """Old chunks are buried, old bytes are gone, the new text is what readers see."""
    first = take_in(database, originals, b"old text", Upload(collection, external_id="x"))
    finish(worker, first)
    second = take_in(database, originals, b"new text", Upload(collection, external_id="x"))
    assert finish(worker, second) == "completed"
    document = show(database, first.document.id)
    assert (document.version, document.status) == (2, "ready")
    with database.read() as session:
        chunk = session.scalars(select(Chunk)).one()
        tombstone = session.scalars(select(Tombstone)).one()
    assert chunk.text == "new text"
    assert chunk.change_number == tombstone.change_number
    assert list(originals.hashes()) == [document.sha256]


def test_a_failed_replacement_leaves_the_current_version(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """The document stays ready with its old text, and says what went wrong."""
    first = take_in(database, originals, b"old text", Upload(collection, external_id="x"))
    finish(worker, first)
    finish(worker, take_in(database, originals, b"\xff\xfe\xff", Upload(collection, external_id="x")))
    document = show(database, first.document.id)
    assert (document.status, document.version, document.error) == ("ready", 1, "This is no UTF-8 text.")
    with database.read() as session:
        assert session.scalars(select(Chunk.text)).one() == "old text"


def test_reading_the_same_bytes_again_takes_over_the_new_title(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """`replace` with known bytes indexes the current version anew."""
    first = take_in(database, originals, b"text", Upload(collection, title="Old"))
    finish(worker, first)
    again = take_in(database, originals, b"text", Upload(collection, title="New"), on_duplicate="replace")
    assert finish(worker, again) == "completed"
    document = show(database, first.document.id)
    assert (document.title, document.version) == ("New", 1)


def test_reading_bytes_again_that_have_changed_on_the_disk_leaves_the_text(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """What is left of a file does not take the place of what was read of the whole; another upload mends it.

    As often as it comes afterwards, it is known and not read again.
    """
    whole = b"The whole of the text."
    accepted = take_in(database, originals, whole, Upload(collection))
    finish(worker, accepted)
    originals.path(accepted.document.sha256).write_bytes(b"The hole of the text. ")
    with database.write() as session:
        (job,) = queue_reading(session, [accepted.document.id])
    assert worker.wait(job.id, timeout_s=20).counts.failed == 1
    document = show(database, accepted.document.id)
    assert (document.status, "have changed on the disk" in (document.error or "")) == ("ready", True)
    with database.read() as session:
        assert session.scalars(select(DocumentVersion.text)).one() == "The whole of the text."
    assert finish(worker, take_in(database, originals, whole, Upload(collection))) == "completed"
    assert originals.read(accepted.document.sha256) == whole
    document = show(database, accepted.document.id)
    assert (document.status, document.version, document.error) == ("ready", 1, None)
    assert take_in(database, originals, whole, Upload(collection)).duplicate_of == document.id


def test_a_bad_document_fails_alone(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """The others of its job become ready; its own fault is permanent and says why."""
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    uploads = [
        (data, Upload(collection, filename=f"{index}.txt"))
        for index, data in enumerate([b"good", b"\xff\xff", b" \n", b"also good"])
    ]
    add_to_job(database, originals, job_id, uploads)
    with database.write() as session:
        seal_job(session, job_id)
    progress = worker.wait(job_id, timeout_s=20)
    assert (progress.status, progress.counts.done, progress.counts.failed) == ("completed", 2, 2)
    with database.read() as session:
        errors = [(item.error, item.error_kind) for item in list_items(session, job_id, state="failed")]
        assert errors[0] == ("This is no UTF-8 text.", "permanent")
        assert errors[1][1] == "permanent"
        statuses = [status for (status,) in session.execute(select(Document.status).order_by(Document.id))]
    assert sorted(statuses) == ["failed", "failed", "ready", "ready"]


def test_a_fault_of_the_machine_is_tried_again_and_can_be_retried(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """After three tries the item is failed as transient; `retry` starts the job once more."""
    accepted = take_in(database, originals, b"break the parser", Upload(collection))
    assert finish(worker, accepted) == "completed"
    assert accepted.job is not None
    with database.write() as session:
        (item,) = list_items(session, accepted.job.id)
        assert (item.state, item.error_kind, item.attempts) == ("failed", "transient", 3)
        assert item.error == "OSError: the disk is on fire"
        assert retry_job(session, accepted.job.id) == 1
    assert finish(worker, accepted) == "completed"
    with database.read() as session:
        assert list_items(session, accepted.job.id)[0].attempts == 3


def test_a_job_stays_open_while_its_client_adds_documents(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """What has come is read at once; the job ends after `seal_job`."""
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    for number in range(3):
        add_to_job(database, originals, job_id, [(f"text {number}".encode(), Upload(collection))])
        deadline = time.monotonic() + 10
        while worker.wait(job_id, timeout_s=0).counts.done <= number:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert worker.wait(job_id, timeout_s=0).status in {"queued", "running"}
    with database.write() as session:
        seal_job(session, job_id)
    assert worker.wait(job_id, timeout_s=10).status == "completed"


def test_a_document_deleted_before_it_was_read_is_skipped(
    database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """Its job ends; nothing of it comes back."""
    accepted = take_in(database, originals, b"text", Upload(collection))
    remove_document(database, originals, accepted.document.id)
    with make_worker(database, tmp_path) as worker:
        assert finish(worker, accepted) == "completed"
    with database.read() as session:
        assert session.scalars(select(Document)).all() == []
        assert session.scalars(select(Chunk)).all() == []
    assert list(originals.hashes()) == []


def test_a_cancelled_job_is_not_carried_out(
    database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """A worker that starts later leaves it alone."""
    accepted = take_in(database, originals, b"text", Upload(collection))
    assert accepted.job is not None
    with database.write() as session:
        cancel_job(session, accepted.job.id)
    with make_worker(database, tmp_path) as worker:
        assert finish(worker, accepted) == "cancelled"
        assert finish(worker, take_in(database, originals, b"other", Upload(collection))) == "completed"
    assert show(database, accepted.document.id).status == "failed"


def test_a_stopped_worker_leaves_its_work_to_the_next(
    database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """Stopping is quick; the job goes on where it was."""
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection).id
    add_to_job(database, originals, job_id, [(f"text {n}".encode(), Upload(collection)) for n in range(200)])
    with make_worker(database, tmp_path) as worker:
        while worker.wait(job_id, timeout_s=0).counts.done == 0:
            time.sleep(0.01)
        started = time.monotonic()
    assert time.monotonic() - started < 3
    with database.read() as session:
        assert session.get_one(Job, job_id).state == "running"
    with make_worker(database, tmp_path) as worker:
        progress = worker.wait(job_id, timeout_s=30)
    assert (progress.status, progress.counts.done) == ("completed", 200)
    with database.read() as session:
        assert len(session.scalars(select(Chunk.id)).all()) == 200


def test_a_document_that_is_slow_to_read_does_not_hold_up_the_end(
    database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """Its parser is closed under it; that is no failure, and the next worker reads it."""
    accepted = take_in(database, originals, b"a long story", Upload(collection))
    assert accepted.job is not None
    parser = SlowParser()
    worker = Worker(
        database,
        originals=originals,
        parser=parser,
        find_embedder=one_embedder(FakeEmbedder()),
        data_dir=tmp_path,
    )
    worker.start()
    assert parser.began.wait(20)
    worker.begin_stop()
    parser.closed.set()
    worker.stop()
    with database.read() as session:
        (item,) = list_items(session, accepted.job.id)
    assert (item.state, item.error) == ("running", None)
    with make_worker(database, tmp_path) as worker:
        assert finish(worker, accepted) == "completed"


class SlowParser:
    """Reads until it is closed, and fails then."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.closed = threading.Event()

    def parse(self, data: bytes, *, filename: str | None, media_type: str | None = None) -> ParsedDocument:
        """Wait for the end."""
        del data, filename, media_type
        self.began.set()
        self.closed.wait(60)
        raise RuntimeError("The parser pool was closed meanwhile.")


def test_a_job_whose_workflow_is_lost_starts_again(
    database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """A running job that no durable workflow knows, as after a restored backup, gets a new one."""
    accepted = take_in(database, originals, b"text", Upload(collection))
    assert accepted.job is not None
    with database.write() as session:
        session.get_one(Job, accepted.job.id).state = "running"
    with make_worker(database, tmp_path) as worker:
        assert finish(worker, accepted) == "completed"
