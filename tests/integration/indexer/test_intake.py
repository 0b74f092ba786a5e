"""Accepting uploads, on both databases."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import event, func, select

from corpus.collections import create_collection, delete_collection
from corpus.database import Database
from corpus.errors import (
    CollectionNotFound,
    Conflict,
    DocumentNotFound,
    DuplicateDocument,
    InvalidRequest,
    QueueFull,
)
from corpus.models import Document, DocumentVersion, Job, JobItem
from corpus.originals import Originals
from indexer.claims import claim_batch
from indexer.deletion import drop_originals, lock_document, remove_document
from indexer.intake import Accepted, add_to_job, take_in
from indexer.jobs import begin_job, cancel_job, create_job, retry_job
from indexer.progress import job_progress, list_items
from indexer.uploads import OnDuplicate, Upload
from tests.fakes import FakeEmbedder


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Return an empty store."""
    return Originals(tmp_path / "originals")


@pytest.fixture
def collection(database: Database) -> str:
    """Return the id of an empty collection."""
    with database.write() as session:
        return create_collection(session, name="default", embedder=FakeEmbedder()).id


def count(database: Database, table: type) -> int:
    """Return how many rows a table has."""
    with database.read() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def publish(database: Database, document_id: str) -> None:
    """Pretend that a document's newest version was read."""
    with database.write() as session:
        for version in session.scalars(
            select(DocumentVersion).where(DocumentVersion.document_id == document_id)
        ):
            version.state = "current"
        session.get_one(Document, document_id).status = "ready"


def fail(database: Database, accepted: Accepted) -> None:
    """Pretend that a new document could not be read."""
    with database.write() as session:
        session.get_one(DocumentVersion, (accepted.document.id, accepted.document.version)).state = "failed"
        session.get_one(Document, accepted.document.id).status = "failed"
        for item in session.scalars(select(JobItem).where(JobItem.document_id == accepted.document.id)):
            item.state = "failed"
        assert accepted.job is not None
        session.get_one(Job, accepted.job.id).state = "completed"


def together(number: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run the work in threads that start at one moment; return what they raised."""
    gate = threading.Barrier(number)
    errors: list[BaseException] = []

    def run(index: int) -> None:
        gate.wait()
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - collected for the test
            errors.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


def test_an_upload_makes_a_pending_document_and_a_job(
    database: Database, originals: Originals, collection: str
) -> None:
    """Document, version, job and item appear together; the bytes are kept."""
    accepted = take_in(database, originals, b"text", Upload(collection, filename="notes.txt"))
    assert accepted.document.status == "pending"
    assert accepted.document.title == "notes"
    assert originals.read(accepted.document.sha256) == b"text"
    assert accepted.job is not None
    with database.read() as session:
        (item,) = list_items(session, accepted.job.id)
    assert (item.document_id, item.state) == (accepted.document.id, "queued")


def test_the_same_bytes_again_are_a_duplicate(
    database: Database, originals: Originals, collection: str
) -> None:
    """The second upload does no work and names the first document."""
    first = take_in(database, originals, b"text", Upload(collection, filename="a.txt"))
    second = take_in(database, originals, b"text", Upload(collection, filename="b.txt"))
    assert (second.duplicate_of, second.job) == (first.document.id, None)
    assert count(database, Document) == count(database, Job) == 1


def test_the_same_bytes_in_another_collection_are_another_document(
    database: Database, originals: Originals, collection: str
) -> None:
    """Collections know nothing of each other."""
    with database.write() as session:
        other = create_collection(session, name="other", embedder=FakeEmbedder()).id
    take_in(database, originals, b"text", Upload(collection))
    assert take_in(database, originals, b"text", Upload(other)).duplicate_of is None
    assert len(list(originals.hashes())) == 1


def test_a_known_external_id_with_new_bytes_is_a_new_version(
    database: Database, originals: Originals, collection: str
) -> None:
    """The current version stays as it is until the new one has been read."""
    first = take_in(database, originals, b"old", Upload(collection, external_id="x", metadata={"year": 1}))
    publish(database, first.document.id)
    second = take_in(database, originals, b"new", Upload(collection, external_id="x"))
    assert second.document.id == first.document.id
    assert (second.document.status, second.document.version) == ("ready", 1)
    with database.read() as session:
        version = session.get_one(DocumentVersion, (first.document.id, 2))
        assert (version.state, version.metadata_) == ("pending", {"year": 1})


def test_a_version_that_waits_is_superseded_by_the_next(
    database: Database, originals: Originals, collection: str
) -> None:
    """Only the newest bytes of an external id are kept waiting."""
    take_in(database, originals, b"one", Upload(collection, external_id="x"))
    accepted = take_in(database, originals, b"two", Upload(collection, external_id="x"))
    assert count(database, Document) == count(database, DocumentVersion) == 1
    assert list(originals.hashes()) == [accepted.document.sha256]


@pytest.mark.parametrize("by_id", [False, True])
def test_what_comes_again_withdraws_what_was_to_replace_it(
    database: Database, originals: Originals, collection: str, *, by_id: bool
) -> None:
    """The last upload wins: a version that waited to take its place is gone, and so are its bytes."""
    upload = Upload(collection, external_id="x")
    first = take_in(database, originals, b"first", upload)
    publish(database, first.document.id)
    replaced = first.document.id if by_id else None
    take_in(database, originals, b"second", upload, document_id=replaced)
    third = take_in(database, originals, b"first", upload, document_id=replaced)
    assert third.duplicate_of == first.document.id
    assert list(originals.hashes()) == [first.document.sha256]
    with database.read() as session:
        (version,) = session.scalars(select(DocumentVersion))
        assert (version.version, version.state) == (1, "current")


def test_bytes_that_come_again_while_they_wait_go_on_waiting(
    database: Database, originals: Originals, collection: str
) -> None:
    """The current version stays until they have been read."""
    upload = Upload(collection, external_id="x")
    first = take_in(database, originals, b"first", upload)
    publish(database, first.document.id)
    take_in(database, originals, b"second", upload)
    assert take_in(database, originals, b"second", upload).duplicate_of == first.document.id
    with database.read() as session:
        states = session.scalars(select(DocumentVersion.state).order_by(DocumentVersion.version)).all()
    assert states == ["current", "pending"]


def test_a_document_can_not_get_the_bytes_of_another(
    database: Database, originals: Originals, collection: str
) -> None:
    """Taken for a duplicate, it would show its old text for ever: it is refused, by names; a job goes on."""
    first = take_in(database, originals, b"old", Upload(collection, external_id="a.md"))
    second = take_in(database, originals, b"text of b", Upload(collection, external_id="b.md"))
    again = Upload(collection, external_id="a.md")
    for document_id in (None, first.document.id):
        with pytest.raises(DuplicateDocument) as refused:
            take_in(database, originals, b"text of b", again, document_id=document_id)
        for name in ("a.md", "b.md", first.document.id, second.document.id):
            assert name in str(refused.value)
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    add_to_job(database, originals, job_id, [(b"text of b", again), (b"new", Upload(collection))])
    with database.read() as session:
        assert [item.state for item in list_items(session, job_id)] == ["failed", "queued"]
    remove_document(database, originals, first.document.id)
    assert take_in(database, originals, b"text of b", again).duplicate_of == second.document.id


@pytest.mark.parametrize("external_id", ["b.md", None])
@pytest.mark.parametrize("on_duplicate", ["skip", "replace"])
def test_bytes_that_are_about_to_go_are_no_duplicate(
    database: Database,
    originals: Originals,
    collection: str,
    external_id: str | None,
    on_duplicate: OnDuplicate,
) -> None:
    """A file that was renamed while another took its name: skipped, it would be nowhere in a moment."""
    old = take_in(database, originals, b"old", Upload(collection, external_id="a.md"))
    publish(database, old.document.id)
    take_in(database, originals, b"new", Upload(collection, external_id="a.md"))
    renamed = Upload(collection, external_id=external_id)
    with pytest.raises(Conflict, match=old.document.id):
        take_in(database, originals, b"old", renamed, on_duplicate=on_duplicate)
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    add_to_job(database, originals, job_id, [(b"old", renamed)], on_duplicate=on_duplicate)
    with database.write() as session:
        assert [item.state for item in list_items(session, job_id)] == ["failed"]
        session.delete(session.get_one(DocumentVersion, (old.document.id, 1)))
    publish(database, old.document.id)
    again = take_in(database, originals, b"old", renamed, on_duplicate=on_duplicate)
    assert again.duplicate_of is None
    assert again.document.id != old.document.id


def test_a_copy_of_what_a_job_replaces_is_not_known(
    database: Database, originals: Originals, collection: str
) -> None:
    """A file that was copied and then changed: the job that brings both says that the copy is missing."""
    known = take_in(database, originals, b"old", Upload(collection, external_id="guide.md"))
    publish(database, known.document.id)
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    files = [("guide-old.md", b"old"), ("guide.md", b"old"), ("guide.md", b"new"), ("other.md", b"other")]
    add_to_job(
        database, originals, job_id, [(data, Upload(collection, external_id=name)) for name, data in files]
    )
    with database.read() as session:
        copy, *others = list_items(session, job_id)
    assert (copy.name, copy.state) == ("guide-old.md", "failed")
    assert known.document.id in str(copy.error)
    assert [each.state for each in others] == ["skipped", "queued", "queued"]


def test_on_duplicate_error_refuses_known_bytes_and_known_external_ids(
    database: Database, originals: Originals, collection: str
) -> None:
    """Both kinds of duplicate raise; unused bytes do not stay."""
    take_in(database, originals, b"text", Upload(collection, external_id="x"))
    for data, external_id in ((b"text", None), (b"other", "x")):
        upload = Upload(collection, external_id=external_id)
        with pytest.raises(DuplicateDocument):
            take_in(database, originals, data, upload, on_duplicate="error")
    assert len(list(originals.hashes())) == 1


def test_on_duplicate_replace_reads_the_same_bytes_again(
    database: Database, originals: Originals, collection: str
) -> None:
    """The current version gets the new title and metadata, and a job."""
    first = take_in(database, originals, b"text", Upload(collection, title="Old"))
    publish(database, first.document.id)
    upload = Upload(collection, title="New", metadata={"year": 2})
    second = take_in(database, originals, b"text", upload, on_duplicate="replace")
    assert second.duplicate_of is None
    assert second.job is not None
    with database.read() as session:
        version = session.get_one(DocumentVersion, (first.document.id, 1))
        assert (version.title, version.metadata_) == ("New", {"year": 2})


def test_the_bytes_of_a_failed_document_retry_it(
    database: Database, originals: Originals, collection: str
) -> None:
    """The same document gets a new job."""
    first = take_in(database, originals, b"text", Upload(collection))
    fail(database, first)
    second = take_in(database, originals, b"text", Upload(collection))
    assert second.document.id == first.document.id
    assert (second.document.status, second.document.version) == ("pending", 1)
    assert second.job is not None


def test_a_full_queue_refuses_new_documents_but_not_duplicates(
    database: Database, originals: Originals, collection: str
) -> None:
    """`queue_size` counts the single documents that wait."""
    take_in(database, originals, b"one", Upload(collection), queue_size=1)
    with pytest.raises(QueueFull):
        take_in(database, originals, b"two", Upload(collection), queue_size=1)
    assert take_in(database, originals, b"one", Upload(collection), queue_size=1).duplicate_of
    assert len(list(originals.hashes())) == 1


@pytest.mark.parametrize(
    "upload",
    [
        Upload("c", external_id="x" * 513),
        Upload("c", title="nul \0"),
        Upload("c", title="half \ud800"),
        Upload("c", metadata={"x": "nul \0"}),
        Upload("c", metadata={"x": float("nan")}),
        Upload("c", metadata={"x": "half \udfff"}),
        Upload("c", metadata={"x": "y" * 70_000}),
    ],
)
def test_fields_that_no_database_could_keep_are_refused(
    database: Database, originals: Originals, upload: Upload
) -> None:
    """They end as an invalid request, before anything is stored."""
    with pytest.raises(InvalidRequest):
        take_in(database, originals, b"text", upload)
    assert list(originals.hashes()) == []


def test_an_escaped_backslash_before_u0000_is_no_nul(
    database: Database, originals: Originals, collection: str
) -> None:
    """The check of metadata knows JSON's escapes."""
    upload = Upload(collection, metadata={"path": "C:\\u0000"})
    assert take_in(database, originals, b"text", upload).document.metadata_ == {"path": "C:\\u0000"}


def test_racing_uploads_of_one_file_make_one_document(
    database: Database, originals: Originals, collection: str
) -> None:
    """Eight threads send the same bytes: one document, one job, everybody gets its id."""
    ids: list[str] = []

    def send(_: int) -> None:
        ids.append(take_in(database, originals, b"same", Upload(collection)).document.id)

    assert together(8, send) == []
    assert len(ids) == 8
    assert len(set(ids)) == count(database, Document) == count(database, Job) == 1


def test_racing_uploads_of_one_external_id_make_one_document(
    database: Database, originals: Originals, collection: str
) -> None:
    """Eight threads send different bytes under one id: one document whose last version waits."""

    def send(index: int) -> None:
        take_in(database, originals, f"bytes {index}".encode(), Upload(collection, external_id="x"))

    assert together(8, send) == []
    assert count(database, Document) == count(database, DocumentVersion) == 1
    with database.read() as session:
        waiting = session.scalars(select(DocumentVersion.sha256)).one()
    assert list(originals.hashes()) == [waiting]


def test_a_deletion_never_takes_the_bytes_of_an_upload(
    database: Database, originals: Originals, collection: str
) -> None:
    """Uploads and deletions of the same bytes race; each document's bytes are there in the end."""

    def work(index: int) -> None:
        for _ in range(6):
            if index % 2:
                take_in(database, originals, b"same", Upload(collection))
            else:
                with database.read() as session:
                    known = session.scalars(select(Document.id)).all()
                for document_id in known:
                    with suppress(DocumentNotFound):  # another thread was faster
                        remove_document(database, originals, document_id)

    assert together(4, work) == []
    with database.read() as session:
        wanted = set(session.scalars(select(DocumentVersion.sha256)))
    assert wanted == set(originals.hashes())


def test_an_upload_into_a_collection_that_was_deleted_says_so(
    database: Database, originals: Originals, collection: str
) -> None:
    """Since it was looked up; nothing stays of the bytes."""
    with database.write() as session:
        delete_collection(session, collection)
    with pytest.raises(CollectionNotFound):
        take_in(database, originals, b"late", Upload(collection))
    assert list(originals.hashes()) == []


def test_a_deleted_collection_leaves_jobs_their_documents_of_others(
    database: Database, originals: Originals, collection: str
) -> None:
    """Lines of a file may name other collections: those wait for the job on, which else nobody would read."""
    with database.write() as session:
        other = create_collection(session, name="other", embedder=FakeEmbedder()).id
        mixed, own = (
            create_job(session, "ingestion", collection_id=collection, receiving=True).id for _ in range(2)
        )
    add_to_job(database, originals, mixed, [(b"here", Upload(collection)), (b"there", Upload(other))])
    add_to_job(database, originals, own, [(b"here too", Upload(collection))])
    with database.write() as session:
        delete_collection(session, collection)
    with database.write() as session:
        assert session.get(Job, own) is None
        begin_job(session, mixed)
        (work,) = claim_batch(session, mixed)
        assert work.collection_id == other
        assert [item.state for item in list_items(session, mixed)] == ["skipped", "running"]


class InterruptedOriginals(Originals):
    """Lets something else happen once, after it was asked whether bytes are here."""

    meanwhile: Callable[[], object] | None = None

    def exists(self, sha256: str) -> bool:
        """Answer as it was before what happens meanwhile."""
        found = super().exists(sha256)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return found


def test_bytes_that_were_seen_are_there_when_their_document_is(
    database: Database, originals: Originals, collection: str
) -> None:
    """A deletion of the last document that had them waits from the look on, or comes before it."""
    with database.write() as session:
        other = create_collection(session, name="other", embedder=FakeEmbedder()).id
    known = take_in(database, originals, b"same", Upload(other)).document.id
    deletion = threading.Thread(target=remove_document, args=(database, originals, known))

    def delete() -> None:
        deletion.start()
        deletion.join(timeout=0.3)  # it is still waiting then

    looking = InterruptedOriginals(originals.folder)
    looking.meanwhile = delete
    accepted = take_in(database, looking, lambda: [b"same"], Upload(collection))
    deletion.join()
    assert originals.exists(accepted.document.sha256)


def test_bytes_that_another_document_uses_stay(
    database: Database, originals: Originals, collection: str
) -> None:
    """`drop_originals` asks the database first."""
    accepted = take_in(database, originals, b"used", Upload(collection))
    unused = originals.store(b"unused").sha256
    assert drop_originals(database, originals, [accepted.document.sha256, unused]) == 1
    assert list(originals.hashes()) == [accepted.document.sha256]


def test_a_bulk_job_keeps_what_became_of_each_document(
    database: Database, originals: Originals, collection: str
) -> None:
    """New ones wait, known ones are skipped, impossible ones fail; the job goes on."""
    take_in(database, originals, b"known", Upload(collection))
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    uploads = [
        (b"new", Upload(collection)),
        (b"known", Upload(collection)),
        (b"bad", Upload(collection, title="\0")),
    ]
    add_to_job(database, originals, job_id, uploads)
    with database.read() as session:
        assert [item.state for item in list_items(session, job_id)] == ["queued", "skipped", "failed"]
        assert job_progress(session, job_id).counts.total == 3


def test_the_bytes_of_what_a_job_refuses_do_not_stay(
    database: Database, originals: Originals, collection: str
) -> None:
    """Neither those of known documents and impossible fields, nor those for a job that is over."""
    known = take_in(database, originals, b"known", Upload(collection, external_id="x"))
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    refused = [
        (b"known", Upload(collection)),
        (b"another x", Upload(collection, external_id="x")),
        (b"no title", Upload(collection, title="\0")),
    ]
    add_to_job(database, originals, job_id, refused, on_duplicate="error")
    with database.write() as session:
        assert [item.state for item in list_items(session, job_id)] == ["failed"] * 3
        cancel_job(session, job_id)
    with pytest.raises(Conflict):
        add_to_job(database, originals, job_id, [(b"too late", Upload(collection))])
    assert list(originals.hashes()) == [known.document.sha256]


def test_many_new_documents_take_as_few_statements_as_two(
    database: Database, originals: Originals, collection: str
) -> None:
    """What is new comes in at once; the database is not asked about each document."""
    executed: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: executed.append(told[2]))

    def statements(names: Sequence[str]) -> int:
        with database.write() as session:
            job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
        executed.clear()
        uploads = [(name.encode(), Upload(collection, external_id=name)) for name in names]
        add_to_job(database, originals, job_id, uploads)
        with database.read() as session:
            assert [item.name for item in list_items(session, job_id)] == list(names)
        return sum("pg_advisory_xact_lock" not in each for each in executed)

    assert statements([f"few {i}" for i in range(2)]) == statements([f"many {i}" for i in range(40)])
    assert count(database, DocumentVersion) == count(database, Document) == 42


@pytest.mark.parametrize(
    ("names", "states"),
    [
        (["a", "b", "a"], ["queued", "queued", "skipped"]),
        (["a", "known", "b"], ["queued", "skipped", "queued"]),
        (["a", "failed", "b"], ["queued", "queued", "queued"]),
    ],
)
def test_what_is_known_is_looked_at_by_itself(
    database: Database,
    originals: Originals,
    collection: str,
    names: Sequence[str],
    states: Sequence[str],
) -> None:
    """Bytes that come twice, are there already or could not be read do not become second documents."""
    take_in(database, originals, b"known", Upload(collection))
    fail(database, take_in(database, originals, b"failed", Upload(collection)))
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    add_to_job(database, originals, job_id, [(name.encode(), Upload(collection)) for name in names])
    with database.read() as session:
        assert [item.state for item in list_items(session, job_id)] == states
    assert count(database, Document) == len({*names, "known", "failed"})


@pytest.mark.parametrize("bulk", [True, False])
def test_uploads_wait_for_documents_as_everybody_does(
    database: Database, originals: Originals, collection: str, *, bulk: bool
) -> None:
    """Documents in the order of their ids, and before their versions: so nobody waits in a circle."""
    first, second = (
        take_in(database, originals, name.encode(), Upload(collection, external_id=name)).document.id
        for name in ("first", "second")
    )
    publish(database, first)
    with database.write() as session:
        job_id = create_job(session, "ingestion", collection_id=collection, receiving=True).id
    failed: list[Exception] = []

    def upload() -> None:
        new = [(f"new {name}".encode(), Upload(collection, external_id=name)) for name in ("second", "first")]
        try:
            if bulk:
                add_to_job(database, originals, job_id, new)
            else:
                take_in(database, originals, b"first", Upload(collection), on_duplicate="replace")
        except Exception as error:  # noqa: BLE001 - collected for the test
            failed.append(error)

    thread = threading.Thread(target=upload)
    with database.write() as session:
        lock_document(session, first)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        lock_document(session, second)
        session.get_one(DocumentVersion, (first, 1)).filename = "changed"
    thread.join(30)
    assert failed == []


def test_racing_jobs_of_the_same_files_make_each_document_once(
    database: Database, originals: Originals, collection: str
) -> None:
    """Of two that bring the same new files at once, one makes the documents and the other finds them."""
    with database.write() as session:
        jobs = [
            create_job(session, "ingestion", collection_id=collection, receiving=True).id for _ in range(4)
        ]

    def work(index: int) -> None:
        uploads = [(f"{i}".encode(), Upload(collection, external_id=f"{i}")) for i in range(20)]
        add_to_job(database, originals, jobs[index], uploads)

    assert together(4, work) == []
    assert count(database, Document) == count(database, DocumentVersion) == 20
    with database.read() as session:
        states = sorted(item.state for job in jobs for item in list_items(session, job))
    assert states == ["queued"] * 20 + ["skipped"] * 60


def test_a_cancelled_job_leaves_its_documents_open_for_another_try(
    database: Database, originals: Originals, collection: str
) -> None:
    """What had not been read is failed, not pending for ever; its bytes can be sent again."""
    first = take_in(database, originals, b"text", Upload(collection))
    assert first.job is not None
    with database.write() as session:
        cancel_job(session, first.job.id)
    with database.read() as session:
        assert session.get_one(Document, first.document.id).status == "failed"
        assert job_progress(session, first.job.id).status == "cancelled"
    assert take_in(database, originals, b"text", Upload(collection)).job is not None


def test_retry_queues_the_failed_items_again(
    database: Database, originals: Originals, collection: str
) -> None:
    """The job is queued again, under the number of a new run."""
    accepted = take_in(database, originals, b"text", Upload(collection))
    assert accepted.job is not None
    fail(database, accepted)
    with database.write() as session:
        assert retry_job(session, accepted.job.id) == 1
    with database.read() as session:
        job = session.get_one(Job, accepted.job.id)
        assert (job.state, job.options) == ("queued", {"run": 1})
        assert session.get_one(Document, accepted.document.id).status == "pending"
