"""The migrations, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from corpus import migrations
from corpus.database import Database, Table


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
