"""Deleting and replacing while others read, on both databases."""

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event, select

from corpus.collections import Leftovers, create_collection, delete_collection
from corpus.database import Database
from corpus.errors import DocumentNotFound
from corpus.follower import Follower
from corpus.models import Chunk, Document, Job, UnusedOriginal
from corpus.originals import Originals
from indexer.deletion import delete_document, drop_noted_originals, drop_originals, remove_document
from indexer.intake import accept_upload, add_to_job, take_in
from indexer.jobs import create_job
from indexer.uploads import Upload
from tests.fakes import FakeEmbedder
from tests.workers import make_worker

DOCUMENTS = 40
READERS = 3


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Return the store of the bytes."""
    return Originals(tmp_path / "originals")


@pytest.fixture
def collection(database: Database, originals: Originals, tmp_path: Path) -> str:
    """Return the id of a collection with documents."""
    with database.write() as session:
        collection_id = create_collection(session, name="default", embedder=FakeEmbedder()).id
        job_id = create_job(session, "ingestion", collection_id=collection_id).id
    uploads = [(f"sledge number {n}".encode(), Upload(collection_id)) for n in range(DOCUMENTS)]
    add_to_job(database, originals, job_id, uploads)
    with make_worker(database, tmp_path) as worker:
        assert worker.wait(job_id, timeout_s=60).counts.done == DOCUMENTS
    return collection_id


def read_all_the_time(read: Callable[[], None], work: Callable[[], None]) -> list[BaseException]:
    """Do the work while readers read without a break; return what they raised."""
    errors: list[BaseException] = []
    over = threading.Event()

    def loop() -> None:
        try:
            while not over.is_set():
                read()
        except BaseException as error:  # noqa: BLE001 - collected for the test
            errors.append(error)

    readers = [threading.Thread(target=loop) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    try:
        work()
    finally:
        over.set()
        for reader in readers:
            reader.join()
    return errors


def test_a_search_after_the_deletion_never_finds_the_document(
    database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """Neither the rows nor the raw ids of either index, from the moment that the deletion returns."""
    follower = Follower(database, tmp_path / "generations")
    query = FakeEmbedder().embed_queries(["sledge number"])
    deleted: set[str] = set()
    with database.read() as session:
        document_of = dict(session.execute(select(Chunk.id, Chunk.document_id)).all())

    def search() -> None:
        gone = set(deleted)
        follower.refresh()
        indexes = follower.indexes(collection)
        _, dense = indexes.vectors.search(query, DOCUMENTS)
        found = {int(chunk_id) for chunk_id in dense[0] if chunk_id >= 0}
        found |= {chunk_id for chunk_id, _ in indexes.lexical.search("sledge", DOCUMENTS)}
        assert {document_of[chunk_id] for chunk_id in found}.isdisjoint(gone)

    def delete_all() -> None:
        for document_id in sorted(set(document_of.values())):
            remove_document(database, originals, document_id)
            deleted.add(document_id)

    assert read_all_the_time(search, delete_all) == []
    assert len(deleted) == DOCUMENTS
    follower.refresh()
    assert len(follower.indexes(collection).vectors) == len(follower.indexes(collection).lexical) == 0
    assert list(originals.hashes()) == []


def test_a_replacement_is_seen_whole_or_not_at_all(
    database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """A snapshot has the chunks of one version: never of two, never none."""
    name = Upload(collection, external_id="ledger")
    first = take_in(database, originals, b"version0 " * 200, name)
    with make_worker(database, tmp_path) as worker:
        assert first.job is not None
        worker.wait(first.job.id, timeout_s=30)

        def look() -> None:
            with database.read() as session:
                own = select(Chunk.text).where(Chunk.document_id == first.document.id)
                texts = session.scalars(own).all()
                count = session.get_one(Document, first.document.id).chunk_count
            assert len(texts) == count > 1
            assert len({text.split(".")[0] for text in texts}) == 1

        def replace() -> None:
            for number in range(1, 6):
                accepted = take_in(database, originals, f"version{number} ".encode() * 200, name)
                assert accepted.job is not None
                assert worker.wait(accepted.job.id, timeout_s=30).counts.done == 1

        assert read_all_the_time(look, replace) == []
    with database.read() as session:
        assert session.get_one(Document, first.document.id).version == 6


@pytest.mark.usefixtures("collection")
def test_what_a_killed_deletion_left_of_bytes_goes_with_the_next_worker(
    database: Database, originals: Originals, tmp_path: Path
) -> None:
    """Killed after the commit, and before the files of a document and of a collection were removed."""
    with database.write() as session:
        other = create_collection(session, name="other", embedder=FakeEmbedder()).id
    take_in(database, originals, b"in the other collection", Upload(other))
    take_in(database, originals, b"sledge number 0", Upload(other))  # the first has these bytes, too
    with database.write() as session:
        sha256 = hashlib.sha256(b"sledge number 1").hexdigest()
        doomed = session.scalars(select(Document.id).where(Document.sha256 == sha256)).one()
        delete_document(session, doomed)
    with database.write() as session:
        delete_collection(session, other)
    assert len(list(originals.hashes())) == DOCUMENTS + 1
    with database.read() as session:
        living = set(session.scalars(select(Document.sha256)))
    with make_worker(database, tmp_path):
        deadline = time.monotonic() + 10
        while set(originals.hashes()) != living and time.monotonic() < deadline:
            time.sleep(0.05)
    assert set(originals.hashes()) == living
    assert len(living) == DOCUMENTS - 1
    with database.read() as session:
        assert session.scalars(select(UnusedOriginal)).all() == []


@pytest.mark.usefixtures("collection")
def test_a_file_that_can_not_be_removed_holds_up_no_other(
    database: Database, originals: Originals, caplog: pytest.LogCaptureFixture
) -> None:
    """It stays noted, and goes when it can be removed."""
    hashes = sorted(originals.hashes())[:3]
    with database.write() as session:
        for document in session.scalars(select(Document.id).where(Document.sha256.in_(hashes))).all():
            delete_document(session, document)

    class Stuck(Originals):
        def delete(self, sha256: str) -> None:
            if sha256 == hashes[0]:
                raise PermissionError("Read-only.")
            super().delete(sha256)

    assert drop_originals(database, Stuck(originals.folder), hashes) == 2
    assert hashes[0] in caplog.text
    with database.read() as session:
        assert session.scalars(select(UnusedOriginal.sha256)).all() == hashes[:1]
    assert drop_noted_originals(database, originals) == 1
    with database.read() as session:
        assert session.scalars(select(UnusedOriginal.sha256)).all() == []


def test_what_another_deletion_leaves_while_one_looks_stays_noted(
    postgresql_url: str, originals: Originals
) -> None:
    """It commits when the one has seen that its bytes are used, and is killed before it looks itself."""
    database = Database(postgresql_url)
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder()).id
    document = take_in(database, originals, b"sledge", Upload(collection)).document.id
    (sha256,) = originals.hashes()
    looks: list[str] = []

    def delete(*about: object) -> None:
        if "FROM document_versions" in str(about[2]) and not looks:
            looks.append(str(about[2]))
            with database.write() as session:
                delete_document(session, document)

    event.listen(database.engine, "after_cursor_execute", delete)
    assert drop_originals(database, originals, [sha256]) == 0
    assert looks
    assert drop_noted_originals(database, originals) == 1
    assert list(originals.hashes()) == []
    database.close()


def test_bytes_of_two_collections_that_are_deleted_at_once_go(
    postgresql_url: str, originals: Originals
) -> None:
    """Neither deletion sees the other one, and each takes the bytes for used by the other's."""
    database = Database(postgresql_url)
    with database.write() as session:
        names = [create_collection(session, name=name, embedder=FakeEmbedder()).id for name in ("a", "b")]
    for collection in names:
        take_in(database, originals, b"sledge", Upload(collection))
    with database.write() as one:
        left = [delete_collection(one, names[0])]
        with database.write() as other:
            left.append(delete_collection(other, names[1]))
        drop_originals(database, originals, left[1].originals)
    drop_originals(database, originals, left[0].originals)
    assert list(originals.hashes()) == []
    database.close()


def test_deleting_a_document_that_is_not_there_says_so(database: Database, originals: Originals) -> None:
    """The error names the id."""
    with pytest.raises(DocumentNotFound, match="doc_nobody"):
        remove_document(database, originals, "doc_nobody")


def test_the_bytes_of_an_upload_that_comes_just_before_go_with_the_collection(
    database: Database, originals: Originals
) -> None:
    """The deletion waits for it, takes its job and its document along, and names its bytes."""
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder()).id
    left: list[Leftovers] = []

    def delete() -> None:
        with database.write() as session:
            left.append(delete_collection(session, collection))

    thread = threading.Thread(target=delete)
    sha256 = originals.store(b"just in time").sha256
    with database.write() as session:
        accept_upload(session, Upload(collection), sha256, originals=originals)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(30)
    assert left[0].originals == (sha256,)
    with database.read() as session:
        assert session.scalars(select(Job.id)).all() == []
