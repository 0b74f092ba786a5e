"""The consistency check finds what was broken on purpose, and repair mends it; on both databases."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from corpus.collections import active_generation, create_collection
from corpus.database import Database
from corpus.models import Chunk, Document, DocumentVersion, Embedding, Job, JobItem
from corpus.originals import Originals
from indexer.consistency import check
from indexer.findings import Finding
from indexer.intake import take_in
from indexer.rebuilds import request_compaction
from indexer.repair import repair
from indexer.uploads import EXACT_TEXT, Upload
from indexer.workflows import Worker
from tests.fakes import FakeEmbedder
from tests.workers import make_worker


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Return the store that the worker reads."""
    return Originals(tmp_path / "originals")


@pytest.fixture
def worker(database: Database, tmp_path: Path) -> Iterator[Worker]:
    """Yield a running worker."""
    with make_worker(database, tmp_path) as worker:
        yield worker


@pytest.fixture
def document_id(database: Database, originals: Originals, worker: Worker) -> str:
    """Return the first of two documents of a compacted collection."""
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder()).id
    for text in (b"the first document", b"the second document"):
        accepted = take_in(database, originals, text, Upload(collection, media_type=EXACT_TEXT))
        assert accepted.job is not None
        assert worker.wait(accepted.job.id, timeout_s=20).status == "completed"
    with database.write() as session:
        job_id = request_compaction(session, collection).id
    assert worker.wait(job_id, timeout_s=20).status == "completed"
    with database.read() as session:
        return session.scalars(select(Document.id).order_by(Document.id)).first() or ""


class Checker:
    """Checks and repairs one place."""

    def __init__(self, database: Database, originals: Originals, worker: Worker, folder: Path) -> None:
        self.database = database
        self.originals = originals
        self.worker = worker
        self.generations = folder / "generations"

    def kinds(self) -> set[str]:
        """Return the kinds of what is found."""
        return {finding.kind for finding in self.check()}

    def check(self) -> list[Finding]:
        """Check thoroughly, young files too."""
        return check(self.database, self.originals, self.generations, thorough=True, grace_s=-1)

    def repair(self) -> list[Finding]:
        """Repair, wait for the jobs, and return what a further check finds."""
        mended = repair(self.database, self.originals, self.generations, self.check())
        for job_id in mended.jobs:
            assert self.worker.wait(job_id, timeout_s=30).status == "completed"
        return self.check()


@pytest.fixture
def checker(
    database: Database, originals: Originals, worker: Worker, document_id: str, tmp_path: Path
) -> Checker:
    """Return a checker of a place where all is well."""
    assert document_id
    return Checker(database, originals, worker, tmp_path)


def test_nothing_is_found_where_nothing_is_wrong(checker: Checker) -> None:
    """Documents, vectors, files and indexes agree."""
    assert checker.check() == []


def test_unused_bytes_and_folders_are_found_and_removed(checker: Checker) -> None:
    """What crashes leave behind goes."""
    checker.originals.store(b"nobody's")
    (checker.generations / "gen_nobody").mkdir()
    assert checker.kinds() == {"unused_original", "unused_folder"}
    assert checker.repair() == []


def test_lost_bytes_of_a_given_text_are_made_again(
    checker: Checker, database: Database, document_id: str
) -> None:
    """Its text is in the database, and has the hash of the bytes."""
    with database.read() as session:
        sha256 = session.get_one(Document, document_id).sha256
    checker.originals.delete(sha256)
    assert checker.kinds() == {"missing_original"}
    assert checker.repair() == []
    checker.originals.path(sha256).write_bytes(b"other bytes")
    assert checker.kinds() == {"changed_original"}
    assert checker.repair() == []


def test_bytes_that_can_not_be_read_are_found(checker: Checker, database: Database, document_id: str) -> None:
    """A failing disk does not break a check off."""
    with database.read() as session:
        path = checker.originals.path(session.get_one(Document, document_id).sha256)
    path.unlink()
    path.mkdir()
    assert checker.kinds() == {"changed_original"}


def test_missing_chunks_are_made_again(checker: Checker, database: Database, document_id: str) -> None:
    """The document is read once more."""
    with database.write() as session:
        session.execute(delete(Chunk).where(Chunk.document_id == document_id))
    assert "wrong_chunks" in checker.kinds()
    assert checker.repair() == []


def test_a_chunk_whose_offsets_are_wrong_is_found(
    checker: Checker, database: Database, document_id: str
) -> None:
    """The thorough check compares each chunk with the text."""
    with database.write() as session:
        session.execute(update(Chunk).where(Chunk.document_id == document_id).values(start=1))
    assert checker.kinds() == {"wrong_chunks"}
    assert checker.repair() == []


@pytest.mark.parametrize("vector", [None, b"too short"])
def test_missing_and_misshapen_vectors_are_made_again(
    checker: Checker, database: Database, vector: bytes | None
) -> None:
    """A new generation embeds what lacks a vector."""
    with database.write() as session:
        if vector is None:
            session.execute(delete(Embedding))
        else:
            session.execute(update(Embedding).values(vector=vector, change_number=1))
    assert checker.kinds() & {"missing_vector", "wrong_vector"}
    assert checker.repair() == []


def test_damaged_index_files_are_replaced(checker: Checker, database: Database) -> None:
    """One byte is enough; a new generation is built from the database."""
    with database.read() as session:
        collection = session.scalars(select(Document.collection_id).limit(1)).one()
        generation = active_generation(session, collection)
    file = checker.generations / generation.id / "vectors.faiss"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert checker.kinds() == {"damaged_generation"}
    assert checker.repair() == []
    with database.read() as session:
        assert active_generation(session, collection).id != generation.id


def test_a_document_that_no_job_has_is_read(checker: Checker, database: Database, document_id: str) -> None:
    """A pending version whose job was lost gets a new one."""
    with database.write() as session:
        session.execute(delete(JobItem))
        session.execute(delete(Job).where(Job.kind == "upload"))
        session.get_one(DocumentVersion, (document_id, 1)).state = "pending"
        session.get_one(Document, document_id).status = "pending"
    assert {"stranded_document", "stray_chunks"} <= checker.kinds()
    assert checker.repair() == []
    with database.read() as session:
        assert session.get_one(Document, document_id).status == "ready"


@pytest.mark.parametrize(
    ("job", "item"), [("cancelled", "queued"), ("cancelled", "running"), ("failed", "queued")]
)
def test_a_document_that_only_a_finished_job_has_is_read(
    checker: Checker, database: Database, document_id: str, job: str, item: str
) -> None:
    """Jobs that ended left such documents behind once, which nobody would have read."""
    with database.write() as session:
        (job_id,) = session.scalars(select(JobItem.job_id).where(JobItem.document_id == document_id))
        session.get_one(Job, job_id).state = job
        session.get_one(JobItem, (job_id, 0)).state = item
        session.get_one(DocumentVersion, (document_id, 1)).state = "pending"
        session.get_one(Document, document_id).status = "processing"
    assert "stranded_document" in checker.kinds()
    assert checker.repair() == []
    with database.read() as session:
        assert session.get_one(Document, document_id).status == "ready"


def test_young_files_without_a_row_are_no_finding(checker: Checker) -> None:
    """They may belong to an upload that is under way."""
    stored = checker.originals.store(b"on its way")
    found = check(checker.database, checker.originals, checker.generations)
    assert found == []
    os.utime(checker.originals.path(stored.sha256), (0, 0))
    found = check(checker.database, checker.originals, checker.generations)
    assert [finding.kind for finding in found] == ["unused_original"]
