"""The command line's composition root: settings and database, opened for one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from corpus.settings import Settings

if TYPE_CHECKING:
    from corpus.database import Database


@contextmanager
def open_database(settings: Settings) -> Iterator["Database"]:
    """Open the database at its newest revision.

    SQLite belongs to this machine alone and is brought up to date here. A PostgreSQL server is shared
    by several programs; changing its tables is a decision of its own, `rag migrate`.

    Raises:
        NotReady: a PostgreSQL database lacks migrations.
    """
    from corpus import migrations
    from corpus.database import Database

    database = Database(settings.effective_database_url)
    try:
        if database.is_postgresql:
            migrations.require_newest(database)
        elif migrations.current_revision(database) != migrations.newest_revision():
            migrations.upgrade(database)
        yield database
    finally:
        database.close()
