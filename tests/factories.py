"""Ready-made real parts for tests."""

from pathlib import Path

from corpus import migrations
from corpus.database import Database


def migrated_database(folder: Path) -> Database:
    """Return a SQLite database in `folder`, made by the migrations."""
    database = Database(f"sqlite:///{folder / 'rag.sqlite3'}")
    migrations.upgrade(database)
    return database
