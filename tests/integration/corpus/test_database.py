"""The number that tells whether anything was committed, and bare snapshots, on both databases."""

import sqlite3
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Connection, select, text

from corpus.collections import create_collection
from corpus.database import Database
from corpus.models import Collection
from tests.factories import migrated_database
from tests.fakes import FakeEmbedder


def add(database: Database, name: str) -> None:
    """Commit something."""
    with database.write() as session:
        create_collection(session, name=name, embedder=FakeEmbedder())


def test_each_commit_makes_another_version(database: Database) -> None:
    """Reading and rolling back change nothing; a commit does, of this process or another."""
    before = database.version()
    if database.is_postgresql:
        assert before is None
        return
    with database.read() as session:
        session.scalars(select(Collection)).all()
    with database.write() as session:
        session.execute(text("DELETE FROM collections"))
        session.rollback()
    assert database.version() == before
    versions = [before]
    for number in range(3):
        add(database, f"notes {number}")
        versions.append(database.version())
    code = (
        "import sqlite3, sys; database = sqlite3.connect(sys.argv[1]); "
        "database.execute('DELETE FROM collections'); database.commit()"
    )
    subprocess.run([sys.executable, "-c", code, str(database.url.database)], check=True)
    versions.append(database.version())
    assert len(set(versions)) == 5


def test_a_version_of_before_the_closing_is_never_met_again(database: Database) -> None:
    """After `close` another connection counts, from a number of its own."""
    if database.is_postgresql:
        pytest.skip("it has no versions")
    before = database.version()
    database.close()
    add(database, "notes")
    assert database.version() != before


def count(connection: Connection | sqlite3.Connection) -> int:
    """Return how many collections a snapshot has."""
    statement = "SELECT count(*) FROM collections"
    if isinstance(connection, Connection):
        return int(connection.execute(text(statement)).scalar_one())
    return int(connection.execute(statement).fetchone()[0])


def test_a_bare_snapshot_stays_as_it_began(database: Database) -> None:
    """Commits beside it are seen by the next one, also where that is lent the same connection."""
    with database.bare_snapshot() as first:
        assert count(first) == 0
        add(database, "notes")
        assert count(first) == 0
        with database.bare_snapshot() as second:  # another thread's
            assert count(second) == 1
    with database.bare_snapshot() as again:
        assert count(again) == 1
    database.close()
    with database.bare_snapshot() as anew:
        assert count(anew) == 1


def test_a_bare_snapshot_survives_an_error_and_can_not_write(tmp_path: Path) -> None:
    """SQLite's connection is lent on, in no transaction."""
    database = migrated_database(tmp_path)
    for _ in range(2):
        with (
            pytest.raises(sqlite3.OperationalError, match="readonly"),
            database.bare_snapshot() as connection,
        ):
            connection.execute("DELETE FROM collections")  # type: ignore[call-overload]
    with database.bare_snapshot() as connection:
        assert count(connection) == 0
    database.close()


def test_a_statement_that_an_error_left_midway_keeps_no_snapshot(tmp_path: Path) -> None:
    """Nor does a connection that was lent while all were closed come back."""
    database = migrated_database(tmp_path)
    add(database, "notes")
    add(database, "more")
    left = []
    with suppress(ValueError), database.bare_snapshot() as connection:
        rows = connection.execute("SELECT id FROM collections")  # type: ignore[call-overload]
        left.append((rows, rows.fetchone()))
        raise ValueError
    add(database, "last")
    with database.bare_snapshot() as connection:
        assert count(connection) == 3
        database.close()
        assert count(connection) == 3
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")  # type: ignore[call-overload]
