"""Backup and restore, from either database into either."""

import errno
import hashlib
import io
import os
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus import migrations
from corpus.collections import create_collection, delete_collection
from corpus.data_folder import claim_folder, database_id
from corpus.database import Database
from corpus.errors import Conflict, InvalidRequest
from corpus.follower import Follower
from corpus.models import (
    AnswerModel,
    ApiKey,
    Chunk,
    Collection,
    Document,
    Embedding,
    Job,
    last_change_number,
    note_unused,
)
from corpus.originals import Originals
from indexer import backup
from indexer.backup import BackupManifest, back_up, restore
from indexer.consistency import check
from indexer.deletion import drop_originals, remove_document
from indexer.intake import Accepted, take_in
from indexer.rebuilds import request_compaction
from indexer.uploads import Upload
from indexer.workflows import Worker
from tests.factories import migrated_database
from tests.fakes import FakeEmbedder
from tests.workers import make_worker


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Return the store that is backed up."""
    return Originals(tmp_path / "originals")


@pytest.fixture(params=["sqlite", "postgresql"])
def other(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """Return a database of each kind to restore into."""
    if request.param == "sqlite":
        (tmp_path / "other").mkdir(exist_ok=True)
        return Database(f"sqlite:///{tmp_path / 'other' / 'rag.sqlite3'}")
    return Database(request.getfixturevalue("empty_postgresql_url"))


@pytest.fixture
def filled(database: Database, originals: Originals, tmp_path: Path) -> Database:
    """Return a database with a compacted collection, a document that was deleted, and one that waits."""
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder()).id
    with make_worker(database, tmp_path) as worker:
        for number in range(6):
            finish(take_in(database, originals, f"text {number}".encode(), Upload(collection)), worker)
        with database.write() as session:
            job_id = request_compaction(session, collection).id
        worker.wait(job_id, timeout_s=30)
        last = take_in(database, originals, b"a document that goes", Upload(collection))
        finish(last, worker)
        remove_document(database, originals, last.document.id)
    take_in(database, originals, b"a document that waits", Upload(collection, metadata={"year": 2}))
    return database


@pytest.mark.parametrize(("name", "what"), [("", "is a folder"), ("none/backup.zip", "There is no folder")])
def test_a_place_that_can_not_take_a_backup_is_named_at_once(
    database: Database, originals: Originals, tmp_path: Path, name: str, what: str
) -> None:
    """Nothing is read before, and nothing is left there."""
    with pytest.raises(InvalidRequest, match=what):
        back_up(database, originals, tmp_path / name)


def finish(accepted: Accepted, worker: Worker) -> None:
    """Wait for an upload's job."""
    assert accepted.job is not None
    worker.wait(accepted.job.id, timeout_s=20)


def test_a_backup_comes_back_whole(
    filled: Database, originals: Originals, other: Database, tmp_path: Path
) -> None:
    """Everything agrees in the other place; what waited is read there; chunk ids are not used again.

    Notes of unused bytes do not come along: the bytes do not, and a sequence would give their ids again.
    """
    with filled.write() as session:
        note_unused(session, ["1" * 64])
    manifest = back_up(filled, originals, tmp_path / "backup.zip")
    place = tmp_path / "other"
    restored = Originals(place / "originals")
    assert restore(other, restored, tmp_path / "backup.zip") == manifest
    assert check(other, restored, place / "generations", thorough=True) == []
    with other.read() as session:
        waiting = session.scalars(select(Job).where(Job.state == "queued")).one()
        last_before = manifest.last_chunk_id
    with other.write() as session:
        note_unused(session, ["2" * 64])
    with make_worker(other, place) as worker:
        assert worker.wait(waiting.id, timeout_s=30).status == "completed"
    with other.read() as session:
        documents = session.scalars(select(Document)).all()
        newest = session.execute(select(func.max(Chunk.id))).scalar_one()
    assert {document.status for document in documents} == {"ready"}
    assert {"year": 2} in [document.metadata_ for document in documents]
    assert newest > last_before
    follower = Follower(other, place / "generations")
    assert len(follower.indexes(documents[0].collection_id).vectors) == 7
    other.close()


def test_a_backup_of_a_busy_place_is_consistent(
    filled: Database, originals: Originals, tmp_path: Path
) -> None:
    """Documents come and go all the time; the restored place agrees in itself."""
    with filled.read() as session:
        collection = session.scalars(select(Document.collection_id)).first() or ""
    over = threading.Event()

    def be_busy() -> None:
        number = 0
        while not over.is_set():
            accepted = take_in(filled, originals, f"busy {number}".encode(), Upload(collection))
            if number % 2:
                remove_document(filled, originals, accepted.document.id)
            number += 1

    busy = threading.Thread(target=be_busy)
    busy.start()
    try:
        for number in range(3):
            back_up(filled, originals, tmp_path / f"backup-{number}.zip")
    finally:
        over.set()
        busy.join()
    for number in range(3):
        place = tmp_path / f"place-{number}"
        other = Database(f"sqlite:///{place / 'rag.sqlite3'}")
        restore(other, Originals(place / "originals"), tmp_path / f"backup-{number}.zip")
        assert check(other, Originals(place / "originals"), place / "generations") == []
        with other.read() as session:
            assert session.execute(select(func.count()).select_from(Embedding)).scalar_one() == 6
        other.close()


def test_what_a_killed_backup_left_is_removed_by_the_next_one(
    good: bytes, originals: Originals, tmp_path: Path
) -> None:
    """Nothing of one that still runs goes, nor what may be one's that begins at this moment."""
    del good
    place, database = tmp_path / "backups", Database(f"sqlite:///{tmp_path / 'rag.sqlite3'}")
    (place / ".backup-begins").mkdir(parents=True)
    (place / ".backup-of-an-earlier-version").mkdir()
    os.utime(place / ".backup-of-an-earlier-version", (0, 0))
    hold = [sys.executable, "-c", HOLD, place]
    holders = [subprocess.Popen(hold, stdout=subprocess.PIPE) for _ in range(2)]
    dead, alive = (Path((each.stdout or io.BytesIO()).readline().decode().strip()) for each in holders)
    holders[0].kill()
    holders[0].communicate()
    assert dead.exists()
    back_up(database, originals, place / "backup.zip")
    left = {entry.name for entry in place.iterdir()}
    holders[1].kill()
    holders[1].communicate()
    assert left == {"backup.zip", ".backup-begins", alive.name}
    database.close()


HOLD = """
import sys, time
from pathlib import Path
from indexer.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), prefix=".backup-") as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_lost_originals_do_not_cost_the_others(
    filled: Database, originals: Originals, tmp_path: Path
) -> None:
    """The backup ends, holds everything else and names what is missing; its restore lacks just that."""
    gone, changed, unreadable = lost = sorted(hashlib.sha256(b"text %d" % n).hexdigest() for n in (1, 2, 4))
    originals.delete(gone)
    originals.path(changed).write_bytes(b"text 3")
    originals.delete(unreadable)
    originals.path(unreadable).mkdir()
    manifest = back_up(filled, originals, tmp_path / "backup.zip")
    assert manifest.missing == tuple(lost)
    place = tmp_path / "other"
    other, restored = Database(f"sqlite:///{place / 'rag.sqlite3'}"), Originals(place / "originals")
    assert restore(other, restored, tmp_path / "backup.zip") == manifest
    findings = check(other, restored, place / "generations", thorough=True)
    assert {found.kind for found in findings} == {"missing_original"}
    assert [found.subject for found in findings] == lost
    other.close()


def test_a_disk_that_fails_within_a_file_does_not_cost_the_others(
    filled: Database, originals: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read of a file before the error is not in the backup; the files after it are."""
    lost = hashlib.sha256(b"text 3").hexdigest()
    parts_of = backup._parts_of

    def parts_of_a_failing_disk(source: IO[bytes]) -> Iterator[bytes]:
        for part in parts_of(source):
            if part == b"text 3":
                yield part[:2]
                raise OSError(errno.EIO, "Input/output error")
            yield part

    with monkeypatch.context() as failing:
        failing.setattr(backup, "_parts_of", parts_of_a_failing_disk)
        manifest = back_up(filled, originals, tmp_path / "backup.zip")
    assert manifest.missing == (lost,)
    other = Database(f"sqlite:///{tmp_path / 'other' / 'rag.sqlite3'}")
    restored = Originals(tmp_path / "other" / "originals")
    restore(other, restored, tmp_path / "backup.zip")
    assert set(restored.hashes()) == set(originals.hashes()) - {lost}
    other.close()


def test_bytes_that_came_back_before_the_second_snapshot_are_not_lost(
    filled: Database, originals: Originals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is absent after one snapshot only is in the backup."""
    lost = originals.path(hashlib.sha256(b"text 3").hexdigest())
    lost.unlink()
    dump, dumped = backup._dump, []

    def dump_and_mend(database: Database, folder: Path) -> tuple[BackupManifest, set[str]]:
        dumped.append(dump(database, folder))
        if len(dumped) == 2:
            originals.store(b"text 3")
        return dumped[-1]

    monkeypatch.setattr(backup, "_dump", dump_and_mend)
    assert back_up(filled, originals, tmp_path / "backup.zip").missing == ()
    assert len(dumped) == 2


def test_only_an_empty_database_is_restored_into(
    filled: Database, originals: Originals, tmp_path: Path
) -> None:
    """Nothing that is there is overwritten."""
    back_up(filled, originals, tmp_path / "backup.zip")
    with pytest.raises(Conflict, match="not empty"):
        restore(filled, originals, tmp_path / "backup.zip")


@pytest.mark.parametrize(
    "row",
    [
        ApiKey(id="key_1", name="importer", sha256="0" * 64, scopes=["admin"]),
        AnswerModel(id="mdl_1", name="answerer-1", path="models/answerer-1"),
    ],
    ids=["key", "model"],
)
def test_keys_and_models_are_not_overwritten(good: bytes, tmp_path: Path, row: ApiKey | AnswerModel) -> None:
    """A database with nothing but a key, or a chat model, is not empty: a restore would take it away."""
    (tmp_path / "place").mkdir()
    other = migrated_database(tmp_path / "place")
    with other.write() as session:
        session.add(row)
    file = tmp_path / "backup.zip"
    file.write_bytes(good)
    with pytest.raises(Conflict, match=f"rows in {row.__tablename__}; restore into a fresh"):
        restore(other, Originals(tmp_path / "place" / "originals"), file)
    with other.read() as session:
        assert session.scalars(select(type(row).id)).all() == [row.id]
    other.close()


@pytest.fixture
def good(originals: Originals, tmp_path: Path) -> bytes:
    """Return the backup of a collection with a document that waits."""
    database = migrated_database(tmp_path)
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder()).id
    take_in(database, originals, b"a document that waits", Upload(collection))
    back_up(database, originals, tmp_path / "good.zip")
    database.close()
    return (tmp_path / "good.zip").read_bytes()


def changed(backup: bytes, name: str, old: bytes, new: bytes) -> bytes:
    """Return a backup with other bytes in one of its files, and checksums that fit them."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(backup)) as source, zipfile.ZipFile(made, "w") as target:
        for each in source.namelist():
            content = source.read(each)
            assert old in content or each != name
            target.writestr(each, content.replace(old, new, 1) if each == name else content)
    return made.getvalue()


def without(backup: bytes, folder: str) -> bytes:
    """Return a backup that lacks a folder."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(backup)) as source, zipfile.ZipFile(made, "w") as target:
        for each in source.namelist():
            if not each.startswith(folder):
                target.writestr(each, source.read(each))
    return made.getvalue()


def flipped(backup: bytes, name: str) -> bytes:
    """Return a backup with some bytes of one of its files changed, as a bad disk does it."""
    with zipfile.ZipFile(io.BytesIO(backup)) as archive:
        start = archive.getinfo(name).header_offset + 30 + len(name)
    return backup[:start] + b"\xff" * 6 + backup[start + 6 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "no backup": lambda _: b"no backup",
    "cut off": lambda good: good[:-200],
    "flipped bytes": lambda good: flipped(good, "tables/documents.jsonl"),
    "flipped bytes of the manifest": lambda good: flipped(good, "manifest.json"),
    "newer revision": lambda good: changed(good, "manifest.json", b'"revision": "', b'"revision": "9'),
    "newer format": lambda good: changed(good, "manifest.json", b'"format": 1', b'"format": 2'),
    "manifest that is a list": lambda good: changed(good, "manifest.json", b"{", b"[] {"),
    "manifest of other values": lambda good: changed(
        good, "manifest.json", b'"tables": {', b'"tables": 3, "t": {'
    ),
    "lost row": lambda good: changed(good, "manifest.json", b'"documents": 1', b'"documents": 2'),
    "lost table": lambda good: without(good, "tables/jobs"),
    "lost original": lambda good: without(good, "originals/"),
    "longer row": lambda good: changed(good, "tables/documents.jsonl", b"]\n[", b"]\n[1,"),
    "row of another kind": lambda good: changed(good, "tables/jobs.jsonl", b"]\n[", b"]\n7["),
    "reference to nothing": lambda good: changed(good, "tables/documents.jsonl", b'"col_', b'"gone_'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_newer_backup_is_refused_and_leaves_an_empty_database(
    good: bytes, tmp_path: Path, damage: str
) -> None:
    """Whatever is wrong with it is said in a sentence; the database can be used, and restored into."""
    place = tmp_path / "place"
    other, restored = Database(f"sqlite:///{place / 'rag.sqlite3'}"), Originals(place / "originals")
    file = tmp_path / "damaged.zip"
    file.write_bytes(DAMAGES[damage](good))
    with pytest.raises(InvalidRequest, match=r"use another one|the version that made it|this version reads"):
        restore(other, restored, file)
    migrations.upgrade(other)
    with other.write() as session:
        collection = create_collection(session, name="default", embedder=FakeEmbedder())
        assert session.scalars(select(Collection.id)).all() == [collection.id]
        delete_collection(session, collection.id)
    file.write_bytes(good)
    restore(other, restored, file)
    assert check(other, restored, place / "generations", thorough=True) == []
    other.close()


@pytest.mark.parametrize("revision", [None, "0001"])
def test_a_newer_backup_changes_nothing(good: bytes, tmp_path: Path, revision: str | None) -> None:
    """It is refused before the database is touched, whatever its revision is."""
    other = Database(f"sqlite:///{tmp_path / 'place' / 'rag.sqlite3'}")
    if revision is not None:
        migrations.upgrade(other, revision)
    file = tmp_path / "newer.zip"
    file.write_bytes(DAMAGES["newer revision"](good))
    with pytest.raises(InvalidRequest, match="which this version does not know"):
        restore(other, Originals(tmp_path / "place" / "originals"), file)
    assert migrations.current_revision(other) == revision
    assert not (tmp_path / "place" / "originals").exists()
    other.close()


@pytest.mark.parametrize("damage", ["reference to nothing", "longer row", "lost original"])
def test_rows_that_do_not_fit_leave_an_empty_database(
    good: bytes, other: Database, tmp_path: Path, damage: str
) -> None:
    """What only shows when the rows are brought in is said the same way, on both databases."""
    file = tmp_path / "damaged.zip"
    file.write_bytes(DAMAGES[damage](good))
    with pytest.raises(InvalidRequest, match="use another one"):
        restore(other, Originals(tmp_path / "place"), file)
    migrations.require_newest(other)
    with other.read() as session:
        assert session.scalars(select(Document.id)).all() == []
        assert last_change_number(session) == 0
    other.close()


def test_a_restore_that_breaks_off_ends_at_the_newest_revision(
    good: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older backup is first brought into tables of its revision; they do not stay, and no other sees them.

    A worker that runs on the empty database would fail over them.
    """
    (tmp_path / "place").mkdir()
    other = migrated_database(tmp_path / "place")
    file = tmp_path / "older.zip"
    newest = migrations.newest_revision() or ""
    file.write_bytes(changed(good, "manifest.json", newest.encode(), b"0002"))
    seen = []

    def load(session: Session, *_: object) -> None:
        seen.append((migrations.revision_of(session.connection()), migrations.current_revision(other)))
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_load", load)
    with pytest.raises(KeyboardInterrupt):
        restore(other, Originals(tmp_path / "place" / "originals"), file)
    assert seen == [("0002", newest)]
    migrations.require_newest(other)
    other.close()


def test_what_comes_while_a_restore_reads_the_backup_is_not_overwritten(
    good: bytes, other: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is started beside it makes its first collection: then the database is not empty."""
    migrations.upgrade(other)
    file = tmp_path / "backup.zip"
    file.write_bytes(good)
    read = backup._require_rows

    def read_while_somebody_comes(archive: zipfile.ZipFile, manifest: BackupManifest) -> None:
        read(archive, manifest)
        with other.write() as session:
            create_collection(session, name="other", embedder=FakeEmbedder())

    monkeypatch.setattr(backup, "_require_rows", read_while_somebody_comes)
    with pytest.raises(Conflict, match="not empty"):
        restore(other, Originals(tmp_path / "place"), file)
    with other.read() as session:
        assert session.scalars(select(Collection.name)).all() == ["other"]
    other.close()


def test_bytes_that_a_worker_removes_beside_a_restore_are_brought_back(
    good: bytes, other: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had noted the same ones as unused, and no row that needs them is there yet."""
    migrations.upgrade(other)
    restored = Originals(tmp_path / "place")
    file = tmp_path / "backup.zip"
    file.write_bytes(good)
    store = backup._restore_originals

    def store_beside_a_worker(archive: zipfile.ZipFile, originals: Originals) -> set[str]:
        monkeypatch.undo()
        brought = store(archive, originals)
        drop_originals(other, originals, brought)
        assert list(originals.hashes()) == []
        return brought

    monkeypatch.setattr(backup, "_restore_originals", store_beside_a_worker)
    restore(other, restored, file)
    assert list(restored.hashes()) == [hashlib.sha256(b"a document that waits").hexdigest()]
    other.close()


def test_a_database_keeps_its_data_folder_over_a_restore(
    good: bytes, other: Database, tmp_path: Path
) -> None:
    """Whether it ends well or not; its id is not that of the database which was backed up."""
    migrations.upgrade(other)
    claim_folder(other, tmp_path / "place")
    own = database_id(other)
    file = tmp_path / "backup.zip"
    for content in (DAMAGES["lost original"](good), good):
        file.write_bytes(content)
        with suppress(InvalidRequest):
            restore(other, Originals(tmp_path / "place" / "originals"), file)
        claim_folder(other, tmp_path / "place")
        assert database_id(other) == own
    other.close()


def test_a_backup_with_another_key_in_its_manifest_is_read(good: bytes, tmp_path: Path) -> None:
    """What an older version would misunderstand has another format; anything else does no harm."""
    other = Database(f"sqlite:///{tmp_path / 'place' / 'rag.sqlite3'}")
    file = tmp_path / "backup.zip"
    file.write_bytes(changed(good, "manifest.json", b"{", b'{"comment": "of a newer version",'))
    restore(other, Originals(tmp_path / "place" / "originals"), file)
    with other.read() as session:
        assert len(session.scalars(select(Document.id)).all()) == 1
    other.close()
