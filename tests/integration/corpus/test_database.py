"""The number that tells whether anything was committed, on both databases."""

import subprocess
import sys

import pytest
from sqlalchemy import select, text

from corpus.collections import create_collection
from corpus.database import Database
from corpus.models import Collection
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


def test_a_database_in_memory_has_no_version() -> None:
    """Nobody else can see it, and another connection would be another database."""
    assert Database("sqlite://").version() is None
    assert Database("sqlite:///:memory:").version() is None
