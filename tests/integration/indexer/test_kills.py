"""Processes killed with SIGKILL at random moments: nothing is lost, doubled or half-visible."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from corpus.collections import create_collection
from corpus.database import Database
from corpus.models import Document, DocumentVersion
from corpus.originals import Originals
from indexer.consistency import check
from indexer.repair import repair
from tests import killable
from tests.factories import migrated_database

FILES = 300
KILLS_OF_INGESTION = (3, 4, 5, 8)  # of one data folder after the other
KILLS_OF_ANYTHING = 50  # of all processes together


def kill_after(seconds: float, work: Callable[..., None], *arguments: object) -> bool:
    """Start the work and kill it after a while; False: it had ended by itself."""
    process = killable.start(work, *arguments)
    process.join(seconds)
    killed = process.exitcode is None
    process.kill()
    process.join()
    assert killed or process.exitcode == 0
    return killed


def test_ingestion_killed_twenty_times_takes_in_every_file_once(tmp_path: Path) -> None:
    """After each kill what is there is whole; the last run finishes the rest without duplicates."""
    moments = random.Random(2)  # noqa: S311 - moments, no secrets
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(FILES):
        text = f"File {number} tells of sledge {number * 7}. " * (number % 9 + 1)
        (folder / f"{number}.txt").write_text(text)
    for kills in KILLS_OF_INGESTION:
        data_dir = tmp_path / f"data-{kills}"
        data_dir.mkdir()
        database = migrated_database(data_dir)
        arguments = (killable.ingest_folder, str(database.url), data_dir, folder)
        for _ in range(kills):
            kill_after(moments.uniform(0.1, 1.5), *arguments)
            require_whole(database, data_dir)
        assert not kill_after(120, *arguments)
        require_every_file_once(database, folder)
        require_whole(database, data_dir)
        database.close()


def require_whole(database: Database, data_dir: Path) -> None:
    """Nothing but unused bytes may disagree after a kill, and repair removes those."""
    originals, generations = Originals(data_dir / "originals"), data_dir / "generations"
    found = check(database, originals, generations, grace_s=-1)
    assert {finding.kind for finding in found} <= {"unused_original", "unused_folder"}
    if found:
        assert repair(database, originals, generations, found).jobs == ()
        assert check(database, originals, generations, grace_s=-1) == []


def require_every_file_once(database: Database, folder: Path) -> None:
    """Each file is one ready document with the file's text."""
    with database.read() as session:
        rows = session.execute(
            select(Document.external_id, Document.status, Document.version, DocumentVersion.text).join(
                DocumentVersion, DocumentVersion.document_id == Document.id
            )
        ).all()
    assert len(rows) == FILES
    assert {(status, version) for _, status, version, _ in rows} == {("ready", 1)}
    assert {name: text for name, _, _, text in rows} == {
        file.name: file.read_text() for file in folder.iterdir()
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "workers"), [("sqlite", 1), ("postgresql", 1), ("sqlite", 2), ("postgresql", 2)]
)
def test_anything_killed_fifty_times_loses_nothing(
    kind: str, workers: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Uploads, replacements, deletions, compactions, reindexes, promotions and rollbacks are killed."""
    moments = random.Random(5)  # noqa: S311 - moments, no secrets
    if kind == "sqlite":
        database = migrated_database(tmp_path)
    else:
        database = Database(request.getfixturevalue("postgresql_url"))
    request.addfinalizer(database.close)
    url = database.url.render_as_string(hide_password=False)
    with database.write() as session:
        create_collection(session, name="default", embedder=killable.FIRST)
    log = tmp_path / "log.jsonl"
    for life in range(KILLS_OF_ANYTHING // workers):
        others = [killable.start(killable.work_on, url, tmp_path) for _ in range(workers - 1)]
        moment = moments.uniform(0.1, 1.2) * (3 if others else 1)  # starting beside others takes longer
        assert kill_after(moment, killable.do_anything, url, tmp_path, log, life)
        for other in others:
            time.sleep(moments.uniform(0, 0.3))
            other.kill()
            other.join()
        require_whole(database, tmp_path)
    assert not kill_after(120, killable.settle, url, tmp_path)
    require_whole(database, tmp_path)
    require_what_was_done(database, log)


def require_what_was_done(database: Database, log: Path) -> None:
    """Each document is what was last done to it, or what was about to be done when the client died."""
    allowed: dict[str, set[str | None]] = {}
    for line in log.read_text().splitlines():
        stage, name, text = json.loads(line)
        if stage == "done":
            allowed[name] = {text}
        else:
            allowed.setdefault(name, {None}).add(text)
    with database.read() as session:
        rows = session.execute(
            select(Document.external_id, Document.status, DocumentVersion.state, DocumentVersion.text).join(
                DocumentVersion, DocumentVersion.document_id == Document.id
            )
        ).all()
    assert {(status, state) for _, status, state, _ in rows} <= {("ready", "current")}
    found = {name: text for name, _, _, text in rows}
    assert len(found) == len(rows)
    for name, texts in allowed.items():
        assert found.get(name) in texts
