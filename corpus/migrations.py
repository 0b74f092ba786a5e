"""Brings a database to the newest revision, and tells how far it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from corpus.data_folder import claim_folder, require_own_folder
from corpus.database import Database
from corpus.errors import NotReady

_ADVISORY_KEY = 0x7261_6702_0000_0000  # tells our lock from those of other programs on the same server
SCRIPTS = Path(__file__).resolve().parent.parent / "alembic"


def open_database(url: str, data_dir: Path) -> Database:
    """Open a database at its newest revision, over the data folder that belongs to it.

    A SQLite file belongs to this machine alone and is brought up to date here. A PostgreSQL server is
    shared by several programs; changing its tables is a step of its own, `rag migrate`.

    Raises:
        SettingsError: the folder belongs to another database.
        NotReady: a PostgreSQL database lacks migrations, or a newer version has brought it further.
    """
    database = Database(url)
    try:
        require_own_folder(database, data_dir)
        if not database.is_postgresql and current_revision(database) != newest_revision():
            upgrade(database)
        require_newest(database)
        claim_folder(database, data_dir)
    except BaseException:
        database.close()
        raise
    return database


def upgrade(database: Database, revision: str = "head") -> None:
    """Apply the missing migrations, all in one transaction; of two programs the second finds them applied.

    Raises:
        NotReady: a newer version has brought the database further.
    """
    with alone(database) as connection:
        _require_known(revision_of(connection))
        step_up(connection, revision)


def downgrade(database: Database, revision: str = "base") -> None:
    """Take migrations back, all in one transaction."""
    with alone(database) as connection:
        step_down(connection, revision)


@contextmanager
def alone(database: Database) -> Iterator[Connection]:
    """Open a transaction for `step_up` and `step_down` beside which no other one changes the tables."""
    with database.engine.execution_options(rag_write=True).begin() as connection:
        _exclude_others(connection)
        yield connection


def step_up(connection: Connection, revision: str = "head") -> None:
    """Apply the missing migrations within a transaction of `alone`."""
    command.upgrade(_config(connection), revision)


def step_down(connection: Connection, revision: str = "base") -> None:
    """Take migrations back within a transaction of `alone`."""
    command.downgrade(_config(connection), revision)


def current_revision(database: Database) -> str | None:
    """Return the database's revision; None: nothing was ever applied."""
    with database.engine.connect() as connection:
        return revision_of(connection)


def revision_of(connection: Connection) -> str | None:
    """Return the revision that a connection sees; None: nothing was ever applied."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str | None:
    """Return the newest revision that this code knows."""
    return ScriptDirectory(str(SCRIPTS)).get_current_head()


def known_revisions() -> set[str]:
    """Return every revision that this code can bring a database to."""
    return {script.revision for script in ScriptDirectory(str(SCRIPTS)).walk_revisions()}


def require_newest(database: Database) -> None:
    """Check that the database fits this code.

    Raises:
        NotReady: migrations are missing, or there are more than this code knows; the message says what to do.
    """
    current = current_revision(database)
    _require_known(current)
    if current != newest_revision():
        raise NotReady(f"The database is at revision {current or 'none'}; run `rag migrate` first.")


def _require_known(revision: str | None) -> None:
    if revision is not None and revision not in known_revisions():
        raise NotReady(
            f"The database is at revision {revision}, which this version does not know; start the version "
            "that brought it there, or a newer one."
        )


def _exclude_others(connection: Connection) -> None:
    """Let other migrations of this database wait for the transaction's end; on SQLite they do anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_KEY})


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config
