"""Several workers in processes of their own, on one place; on both databases."""

import os
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from corpus.collections import create_collection
from corpus.database import Database
from corpus.models import Chunk, Document
from corpus.originals import Originals
from indexer.consistency import check
from indexer.intake import add_to_job, take_in
from indexer.jobs import create_job
from indexer.slots import FileSlots, claim_lowest, open_slots
from indexer.uploads import Upload
from indexer.workflows import wait_for_job
from tests import killable

DOCUMENTS = 200


@pytest.fixture
def url(database: Database) -> str:
    """Return where processes find the database."""
    return database.url.render_as_string(hide_password=False)


@pytest.fixture
def collection(database: Database) -> str:
    """Return the id of an empty collection."""
    with database.write() as session:
        return create_collection(session, name="default", embedder=killable.FIRST).id


def test_a_living_worker_takes_over_from_a_dead_one(
    database: Database, url: str, collection: str, tmp_path: Path
) -> None:
    """The job of a killed worker is finished by the other within seconds, each document once."""
    originals = Originals(tmp_path / "originals")
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection).id
    uploads = [(f"text {n}. ".encode() * 9, Upload(collection)) for n in range(DOCUMENTS)]
    add_to_job(database, originals, job_id, uploads)
    first = killable.start(killable.work_on, url, tmp_path)
    deadline = time.monotonic() + 30
    while wait_for_job(database, job_id, timeout_s=0).counts.done == 0:
        assert time.monotonic() < deadline
    second = killable.start(killable.work_on, url, tmp_path)
    first.kill()
    first.join()
    progress = wait_for_job(database, job_id, timeout_s=60)
    second.kill()
    second.join()
    assert (progress.status, progress.counts.done) == ("completed", DOCUMENTS)
    with database.read() as session:
        assert session.execute(select(func.count()).select_from(Chunk)).scalar_one() >= DOCUMENTS
    assert check(database, originals, tmp_path / "generations", grace_s=-1) == []


def test_workers_share_the_jobs(database: Database, url: str, collection: str, tmp_path: Path) -> None:
    """Three workers on one place take in every document once."""
    originals = Originals(tmp_path / "originals")
    workers = [killable.start(killable.work_on, url, tmp_path) for _ in range(3)]
    jobs = []
    for number in range(30):
        accepted = take_in(database, originals, f"text {number}".encode(), Upload(collection))
        assert accepted.job is not None
        jobs.append(accepted.job.id)
    for job_id in jobs:
        assert wait_for_job(database, job_id, timeout_s=60).counts.done == 1
    for worker in workers:
        worker.kill()
        worker.join()
    with database.read() as session:
        statuses = session.scalars(select(Document.status)).all()
        assert session.execute(select(func.count()).select_from(Chunk)).scalar_one() == 30
    assert statuses == ["ready"] * 30


def test_a_number_is_held_once_and_free_after_its_release(database: Database, tmp_path: Path) -> None:
    """The lowest free number is given out; a held one to nobody."""
    slots = open_slots(database, tmp_path / "workers")
    first, second = claim_lowest(slots), claim_lowest(slots)
    assert (first.number, second.number) == (0, 1)
    assert slots.claim(0) is None
    assert first.is_held()
    first.release()
    again = claim_lowest(slots)
    assert again.number == 0
    again.release()
    second.release()


def test_a_child_program_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """Else a parser that outlives its worker would hold the number."""
    slot = FileSlots(tmp_path).claim(0)
    assert slot is not None
    assert not os.get_inheritable(slot._descriptor or 0)
    slot.release()
    assert not slot.is_held()
