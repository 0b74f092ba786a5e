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
from sqlalchemy import inspect, text

from corpus import migrations
from corpus.database import Database, Table

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
