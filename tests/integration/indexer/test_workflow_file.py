"""A damaged file of the workflows, on SQLite: jobs go on from the database."""

import logging
from pathlib import Path

import pytest
from sqlalchemy import select

from corpus.collections import create_collection
from corpus.database import Database
from corpus.errors import NotReady
from corpus.models import Document, Job
from corpus.originals import Originals
from indexer.claims import claim_batch
from indexer.durable import workflow_file
from indexer.intake import take_in
from indexer.jobs import begin_job
from indexer.slots import FileSlots
from indexer.uploads import Upload
from indexer.workflow_file import set_aside_if_damaged
from tests.factories import migrated_database
from tests.fakes import FakeEmbedder
from tests.workers import make_worker


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return where the workflows are, after a worker was there."""
    return workflow_file(tmp_path)


@pytest.fixture
def database(tmp_path: Path, file: Path) -> Database:
    """Return a database with a document that waits and one that a worker had begun; nobody works now."""
    database = migrated_database(tmp_path)
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder()).id
    with make_worker(database, tmp_path):
        pass
    for text in (b"waits", b"was begun"):
        accepted = take_in(database, Originals(tmp_path / "originals"), text, Upload(collection))
    assert file.exists()
    assert accepted.job is not None
    with database.write() as session:
        assert begin_job(session, accepted.job.id)
        assert len(claim_batch(session, accepted.job.id)) == 1
    return database


@pytest.mark.parametrize("from_byte", [0, 5000], ids=["from the beginning", "within"])
def test_a_damaged_file_is_set_aside_and_jobs_go_on(
    database: Database, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, from_byte: int
) -> None:
    """Its name says what it is, the log what happened; what waited and what was begun is read."""
    whole = file.read_bytes()
    garbage = whole[:from_byte] + b"\xa5" * (len(whole) - from_byte)
    file.write_bytes(garbage)
    with caplog.at_level(logging.WARNING), make_worker(database, tmp_path) as worker:
        with database.read() as session:
            jobs = session.scalars(select(Job.id)).all()
        assert [worker.wait(job_id, timeout_s=30).status for job_id in jobs] == ["completed"] * 2
    with database.read() as session:
        assert session.scalars(select(Document.status)).all() == ["ready"] * 2
    (aside,) = tmp_path.glob("workflows-damaged-*.sqlite3")
    assert aside.read_bytes() == garbage
    assert aside.name in caplog.text


def test_a_damaged_file_that_another_worker_uses_stays(
    database: Database, file: Path, tmp_path: Path
) -> None:
    """The second one says what to do; the first would go on with what the second does not see."""
    file.write_bytes(b"no database")
    slot = FileSlots(tmp_path / "workers").claim(0)
    assert slot is not None
    with pytest.raises(NotReady, match="stop that one"), make_worker(database, tmp_path):
        pass
    assert file.read_bytes() == b"no database"
    slot.release()


def test_a_whole_file_stays(database: Database, file: Path) -> None:
    """So does one that is not there yet."""
    del database
    assert set_aside_if_damaged(file, alone=True) is None
    assert set_aside_if_damaged(file.with_name("none"), alone=True) is None
