"""Runs migrations, for `rag migrate`, for the tests and for the `alembic` command.

A caller that has a connection passes it in ``config.attributes["connection"]``; else the database of
the settings is used.
"""

from alembic import context
from sqlalchemy import Connection

from corpus import models  # noqa: F401 - registers the tables
from corpus.database import Database, Table
from corpus.settings import Settings


def migrate(connection: Connection) -> None:
    """Run the asked-for migrations on one connection, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",  # SQLite alters by making a new table
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Migrate over the given connection, or else over the database of the settings."""
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    database = Database(Settings.load().effective_database_url)
    with database.engine.execution_options(rag_write=True).connect() as connection, connection.begin():
        migrate(connection)
    database.close()


main()
