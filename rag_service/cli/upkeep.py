"""Commands that keep the data in order: `rag migrate`."""

import typer


def add_commands(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(rich_help_panel="Operating")(migrate)


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
