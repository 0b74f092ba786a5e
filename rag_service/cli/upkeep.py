"""Commands that keep the data in order: `rag migrate`."""

import typer


def migrate() -> None:
    """Bring the database to the newest revision."""
    from corpus import migrations
    from corpus.database import Database
    from corpus.settings import Settings

    database = Database(Settings.load().effective_database_url)
    before = migrations.current_revision(database)
    migrations.upgrade(database)
    after = migrations.current_revision(database)
    database.close()
    typer.echo(f"The database is at revision {after}{' already' if before == after else ''}.")
