"""The command line's composition root: settings, database and models, opened for one command."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from corpus.database import Database
    from corpus.settings import Settings
    from rag_service.service import Service


@contextmanager
def open_database(settings: "Settings | None" = None) -> Iterator["Database"]:
    """Open the database at its newest revision; see `migrations.open_database`.

    Raises:
        SettingsError: a setting is unknown or does not fit, or the data folder is another database's.
        NotReady: a PostgreSQL database lacks migrations.
    """
    from corpus.migrations import open_database
    from corpus.settings import Settings

    settings = settings or Settings.load()
    database = open_database(settings.effective_database_url, settings.data_dir)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def open_service(settings: "Settings | None" = None) -> Iterator["Service"]:
    """Open the parts of the service, in this process and without HTTP; the slow ones by `make`.

    Raises:
        SettingsError: a setting is unknown or does not fit, or needs what is not installed.
        NotReady: a PostgreSQL database lacks migrations.
    """
    from corpus.settings import Settings
    from rag_service.app import make_service, models_of

    settings = settings or Settings.load()
    service = make_service(settings, models_of(settings))
    try:
        yield service
    finally:
        if service.worker.state == "ready":
            service.worker.get().stop()
        service.database.close()
        if service.telemetry is not None:
            service.telemetry.close()
