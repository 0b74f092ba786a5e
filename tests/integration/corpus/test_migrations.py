"""The migrations, on both databases."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, inspect, select, text

from corpus import migrations
from corpus.database import Database, Table
from corpus.errors import NotReady
from corpus.models import (
    AnswerModel,
    ApiKey,
    DocumentVersion,
    Feedback,
    Installation,
    Job,
    JobItem,
    Trace,
    UnusedOriginal,
)
from tests.integration.corpus.library import Library

MIGRATE = (
    "import sys; from corpus import migrations; from corpus.database import Database; "
    "migrations.upgrade(Database(sys.argv[1]))"
)
WAITING = text("SELECT count(*) FROM pg_locks WHERE NOT granted")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield a database of each kind that no migration has touched."""
    if request.param == "sqlite":
        database = Database(f"sqlite:///{tmp_path / 'rag.sqlite3'}")
    else:
        database = Database(request.getfixturevalue("empty_postgresql_url"))
    yield database
    database.close()


def test_the_migrations_make_the_tables_of_the_models(empty_database: Database) -> None:
    """After `upgrade head`, autogenerate finds no difference between models and database."""
    migrations.upgrade(empty_database)
    assert migrations.current_revision(empty_database) == migrations.newest_revision()
    with empty_database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_the_way_down_leaves_no_table(empty_database: Database) -> None:
    """`downgrade base` undoes everything, and the way up can be taken again."""
    migrations.upgrade(empty_database)
    migrations.downgrade(empty_database)
    assert set(inspect(empty_database.engine).get_table_names()) <= {"alembic_version"}
    migrations.upgrade(empty_database)
    assert migrations.current_revision(empty_database) == migrations.newest_revision()


def test_applying_twice_changes_nothing(empty_database: Database) -> None:
    """A second `upgrade head` has nothing to do."""
    migrations.upgrade(empty_database)
    migrations.upgrade(empty_database)
    assert migrations.current_revision(empty_database) == migrations.newest_revision()


def test_a_database_of_a_newer_version_is_refused(empty_database: Database, tmp_path: Path) -> None:
    """It is told as that, and `rag migrate` is not said to help."""
    migrations.upgrade(empty_database)
    with empty_database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    url = empty_database.url.render_as_string(hide_password=False)
    for use in (lambda: migrations.open_database(url, tmp_path), lambda: migrations.upgrade(empty_database)):
        with pytest.raises(NotReady, match="revision 9999, which this version does not know"):
            use()


@pytest.mark.parametrize("revision", sorted(migrations.known_revisions())[:-1])
def test_the_way_down_and_up_keeps_the_rows(empty_database: Database, tmp_path: Path, revision: str) -> None:
    """Tables that are there at an older revision have the same rows after `downgrade` and `upgrade`."""
    migrations.upgrade(empty_database)
    fill(empty_database, tmp_path)
    before = rows(empty_database)
    assert all(before.values())
    migrations.downgrade(empty_database, revision)
    kept = rows(empty_database)
    assert kept == {table: before[table] for table in kept}
    migrations.upgrade(empty_database)
    assert rows(empty_database) == before | dict.fromkeys(before.keys() - kept.keys(), 0)


def fill(database: Database, folder: Path) -> None:
    """Put rows into every table."""
    library = Library(database, folder)
    document = library.add("ice", "diesel")
    library.delete(library.add("radio"))
    version = {"document_id": document, "version": 1}
    with database.write() as session:
        session.add_all(
            [
                DocumentVersion(**version, collection_id=library.id, state="current", sha256="0" * 64),
                Job(id="job_1", kind="ingestion", collection_id=library.id, state="completed"),
                Trace(id="trc_1", answer_id="ans_1", question="?", record={}),
                ApiKey(id="key_1", name="importer", sha256="0" * 64, scopes=["admin"]),
                AnswerModel(id="mdl_1", name="answerer-1", path="models/answerer-1"),
                UnusedOriginal(sha256="1" * 64),
                Installation(id=1, database_id="dbs_1"),
            ]
        )
        session.flush()
        session.add(JobItem(job_id="job_1", position=0, name="a.txt", state="done", attempts=1, **version))
        session.add(Feedback(id="fbk_1", answer_id="ans_1", rating="good"))


def rows(database: Database) -> dict[str, int]:
    """Return how many rows each of the tables that are there has."""
    there = set(inspect(database.engine).get_table_names())
    with database.read() as session:
        return {
            table.name: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in Table.metadata.sorted_tables
            if table.name in there
        }


def test_a_second_program_waits_for_the_first(
    empty_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two `rag migrate` at once: one applies the migrations, the other finds them applied."""
    database, watcher = Database(empty_postgresql_url), Database(empty_postgresql_url)
    apply = command.upgrade
    others: list[subprocess.Popen[bytes]] = []

    def apply_beside_another(config: Config, revision: str) -> None:
        apply(config, revision)
        others.append(subprocess.Popen([sys.executable, "-c", MIGRATE, empty_postgresql_url]))
        deadline = time.monotonic() + 30
        with watcher.engine.connect() as connection:
            while not connection.execute(WAITING).scalar_one() and time.monotonic() < deadline:
                time.sleep(0.05)

    monkeypatch.setattr(command, "upgrade", apply_beside_another)
    migrations.upgrade(database)
    assert others[0].wait(timeout=60) == 0
    assert migrations.current_revision(database) == migrations.newest_revision()
    database.close()
    watcher.close()
