"""Which documents a worker reads next, also after crashes; on both databases."""

from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import select, update

from corpus.collections import create_collection, delete_collection
from corpus.database import Database
from corpus.models import Document, DocumentVersion, Job, JobItem, now
from corpus.originals import Originals
from indexer.claims import BATCH_ITEMS, Failure, Work, claim_batch, record_failure
from indexer.deletion import lock_document
from indexer.intake import add_to_job, take_in
from indexer.jobs import (
    add_item,
    begin_job,
    cancel_job,
    create_job,
    fail_job,
    find_job,
    retry_job,
    revive_job,
    workflow_id,
)
from indexer.uploads import Upload
from tests.fakes import FakeEmbedder

ITEMS = BATCH_ITEMS + 3


@pytest.fixture
def job_id(database: Database, tmp_path: Path) -> str:
    """Return a job of a batch and a few documents more."""
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder()).id
        job_id = create_job(session, "ingestion", collection_id=collection).id
    uploads = [(f"text {n}".encode(), Upload(collection, filename=f"{n}.txt")) for n in range(ITEMS)]
    add_to_job(database, Originals(tmp_path / "originals"), job_id, uploads)
    return job_id


def claim(database: Database, job_id: str) -> list[int]:
    """Claim a batch; return the positions."""
    with database.write() as session:
        return [work.position for work in claim_batch(session, job_id)]


def states(database: Database) -> tuple[set[str], set[str], set[str]]:
    """Return the states of all items, versions and documents."""
    with database.read() as session:
        return (
            set(session.scalars(select(JobItem.state))),
            set(session.scalars(select(DocumentVersion.state))),
            set(session.scalars(select(Document.status))),
        )


def work_on(database: Database, job_id: str) -> list[Work]:
    """Claim a batch."""
    with database.write() as session:
        return claim_batch(session, job_id)


def test_items_are_claimed_in_order_and_again_after_a_crash(database: Database, job_id: str) -> None:
    """Whoever takes the job up finds what was begun and begins with it."""
    assert claim(database, job_id) == list(range(BATCH_ITEMS))
    assert claim(database, job_id) == list(range(BATCH_ITEMS))
    with database.write() as session:
        session.execute(update(JobItem).where(JobItem.state == "running").values(state="done"))
        assert set(session.scalars(select(Document.status))) == {"processing", "pending"}
    assert claim(database, job_id) == list(range(BATCH_ITEMS, ITEMS))


def test_a_document_that_workers_died_with_is_read_alone(database: Database, job_id: str) -> None:
    """From the third death on, so that it can not take others with it."""
    for _ in range(3):
        assert len(claim(database, job_id)) == BATCH_ITEMS
    assert claim(database, job_id) == [0]


def test_a_document_that_ended_ten_workers_fails(database: Database, job_id: str) -> None:
    """The others of the job go on."""
    with database.write() as session:
        session.execute(update(JobItem).where(JobItem.position == 0).values(state="running", attempts=10))
    claim(database, job_id)
    with database.read() as session:
        item = session.get_one(JobItem, (job_id, 0))
        assert (item.state, item.error_kind) == ("failed", "permanent")
        assert "10 times" in (item.error or "")
        assert session.get_one(Document, item.document_id).status == "failed"
    assert claim(database, job_id) == list(range(1, BATCH_ITEMS + 1))


def test_a_transient_failure_rests_before_the_next_try(database: Database, job_id: str) -> None:
    """Others go first; after a second it is tried again."""
    first, *others = work_on(database, job_id)
    with database.write() as session:
        record_failure(session, Failure(first, "the disk is busy", permanent=False))
        for work in others:
            session.get_one(JobItem, (job_id, work.position)).state = "done"
    assert claim(database, job_id) == list(range(BATCH_ITEMS, ITEMS))
    with database.write() as session:
        session.execute(update(JobItem).where(JobItem.state == "running").values(state="done"))
    assert claim(database, job_id) == []
    with database.write() as session:
        session.execute(
            update(JobItem).where(JobItem.state == "queued").values(updated_at=now() - timedelta(seconds=2))
        )
    assert claim(database, job_id) == [0]


def test_a_clock_that_is_set_back_does_not_hold_a_document_up(database: Database, job_id: str) -> None:
    """What failed an hour ahead of now is tried at once, and not in an hour."""
    first = work_on(database, job_id)[0]
    with database.write() as session:
        record_failure(session, Failure(first, "the disk is busy", permanent=False))
        session.execute(update(JobItem).where(JobItem.state == "running").values(state="done"))
        session.execute(
            update(JobItem).where(JobItem.position == 0).values(updated_at=now() + timedelta(hours=1))
        )
    assert 0 in claim(database, job_id)


def test_a_failure_that_another_machine_has_noted_rests_all_the_same(database: Database, job_id: str) -> None:
    """Its clock is half a second ahead; three tries in a row are no more than one."""
    first = work_on(database, job_id)[0]
    with database.write() as session:
        record_failure(session, Failure(first, "the disk is busy", permanent=False))
        session.execute(update(JobItem).where(JobItem.state == "running").values(state="done"))
        ahead = {"updated_at": now() + timedelta(seconds=0.5)}
        session.execute(update(JobItem).where(JobItem.position == 0).values(ahead))
    assert 0 not in claim(database, job_id)


@pytest.mark.parametrize("permanent", [True, False])
def test_a_failure_of_something_deleted_meanwhile_is_no_failure(
    database: Database, job_id: str, *, permanent: bool
) -> None:
    """The item is skipped."""
    first = work_on(database, job_id)[0]
    with database.write() as session:
        session.delete(session.get_one(Document, first.document_id))
        session.flush()
        assert not record_failure(session, Failure(first, "no text", permanent=permanent))
        session.expire_all()
        assert session.get_one(JobItem, (job_id, 0)).state == "skipped"


def test_a_failure_waits_for_whoever_is_replacing_the_version(database: Database, job_id: str) -> None:
    """What was read is gone when the other transaction has ended: the item is skipped, nothing else fails."""
    first = work_on(database, job_id)[0]
    noted: list[bool] = []

    def note() -> None:
        with database.write() as session:
            noted.append(record_failure(session, Failure(first, "no text", permanent=True)))

    thread = Thread(target=note)
    with database.write() as session:
        lock_document(session, first.document_id)
        session.delete(session.get_one(DocumentVersion, (first.document_id, first.version)))
        session.flush()
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join(30)
    assert noted == [False]
    with database.read() as session:
        assert session.get_one(JobItem, (job_id, first.position)).state == "skipped"
        assert session.get_one(Document, first.document_id).status == "processing"


def test_a_transient_failure_of_a_cancelled_job_is_not_tried_again(database: Database, job_id: str) -> None:
    """Nobody would: the item fails with its reason, and `retry_job` takes it up."""
    first = work_on(database, job_id)[0]
    with database.write() as session:
        cancel_job(session, job_id)
    with database.write() as session:
        assert record_failure(session, Failure(first, "the disk is busy", permanent=False))
    with database.read() as session:
        item = session.get_one(JobItem, (job_id, first.position))
        assert (item.state, item.error) == ("failed", "the disk is busy")
        assert session.get_one(Document, first.document_id).status == "failed"
    with database.write() as session:
        assert retry_job(session, job_id) == 1


def test_what_a_cancelled_job_left_running_is_ended_when_it_is_taken_up(
    database: Database, job_id: str, tmp_path: Path
) -> None:
    """Its worker stopped or died: the documents are failed, and their bytes can be sent again."""
    work = work_on(database, job_id)[0]
    with database.write() as session:
        cancel_job(session, job_id)
    assert states(database) == ({"running", "cancelled"}, {"pending", "failed"}, {"processing", "failed"})
    with database.write() as session:
        assert not begin_job(session, job_id)
    assert states(database) == ({"cancelled"}, {"failed"}, {"failed"})
    again = take_in(database, Originals(tmp_path / "originals"), b"text 0", Upload(work.collection_id))
    assert (again.document.id, again.duplicate_of) == (work.document_id, None)


def test_what_a_job_that_fails_has_not_read_fails_with_it(database: Database, job_id: str) -> None:
    """All of it can be retried; then its workflow may be lost as often as before."""
    work_on(database, job_id)
    with database.write() as session:
        find_job(session, job_id).options = {"revivals": 20}
    with database.write() as session:
        revive_job(session, job_id, last_workflow=workflow_id(find_job(session, job_id)))
        assert find_job(session, job_id).state == "failed"
    assert states(database) == ({"failed"}, {"failed"}, {"failed"})
    with database.write() as session:
        assert retry_job(session, job_id) == ITEMS
        assert find_job(session, job_id).options == {"run": 1}
    assert states(database) == ({"queued"}, {"pending"}, {"pending"})


def test_a_job_whose_workflow_fails_again_and_again_rests_in_between(database: Database, job_id: str) -> None:
    """A disk that is full for some minutes costs no job: the rests are longer each time."""

    def revive() -> int:
        with database.write() as session:
            revive_job(session, job_id, last_workflow=workflow_id(find_job(session, job_id)))
            return int(find_job(session, job_id).options["revivals"])

    def pass_time(passed: timedelta) -> None:
        with database.write() as session:
            job = find_job(session, job_id)
            moment = datetime.fromisoformat(job.options["revived_at"]) - passed
            job.options = {**job.options, "revived_at": moment.isoformat()}

    assert [revive(), revive()] == [1, 1]
    pass_time(timedelta(seconds=3))
    assert [revive(), revive()] == [2, 2]
    pass_time(timedelta(seconds=3))
    assert revive() == 2
    pass_time(-timedelta(hours=1))  # the clock was set back
    assert revive() == 3


def test_what_another_job_is_to_read_does_not_fail_with_a_job(database: Database, job_id: str) -> None:
    """A document that waits for two jobs goes on waiting for the other one."""
    work = work_on(database, job_id)[0]
    with database.write() as session:
        other = create_job(session, "upload", collection_id=None)
        add_item(session, other, name="0", document_id=work.document_id, version=work.version)
    with database.write() as session:
        fail_job(session, job_id, "It can not go on.")
    with database.read() as session:
        assert session.get_one(DocumentVersion, (work.document_id, work.version)).state == "pending"
        assert session.get_one(Document, work.document_id).status == "processing"
        assert session.get_one(JobItem, (job_id, work.position)).state == "failed"


def test_a_collection_is_deleted_when_a_worker_has_claimed(database: Database, job_id: str) -> None:
    """The deletion waits for the job before it takes the documents, which the worker needs after it."""
    with database.read() as session:
        collection = session.get_one(Job, job_id).collection_id or ""

    def delete() -> None:
        with database.write() as session:
            delete_collection(session, collection)

    thread = Thread(target=delete)
    with database.write() as session:
        assert begin_job(session, job_id)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        assert len(claim_batch(session, job_id)) == BATCH_ITEMS
    thread.join(30)
    assert states(database) == (set(), set(), set())


def test_a_job_is_cancelled_when_its_documents_have_been_replaced(database: Database, job_id: str) -> None:
    """The cancellation waits for a document before it touches the versions, as an upload does."""

    def cancel() -> None:
        with database.write() as session:
            cancel_job(session, job_id)

    with database.read() as session:
        document_id = session.scalars(select(JobItem.document_id).where(JobItem.position == ITEMS - 1)).one()
    thread = Thread(target=cancel)
    with database.write() as session:
        lock_document(session, document_id or "")
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        session.execute(
            update(DocumentVersion).where(DocumentVersion.document_id == document_id).values(title="New")
        )
    thread.join(30)
    assert states(database) == ({"cancelled"}, {"failed"}, {"failed"})
