"""Which database a data folder belongs to: an id that both keep.

Originals and indexes are removed when the database does not know them, so two databases over one folder
take each other's away. The first program that opens a database over a folder gives both the id; later ones
compare. A folder without one is of an earlier version or of a fresh machine: it belongs to whoever comes.
"""

import logging
import os
import tempfile
from pathlib import Path

from sqlalchemy import inspect, select, text
from sqlalchemy.orm import Session

from corpus.database import Database
from corpus.errors import SettingsError
from corpus.ids import new_id
from corpus.models import Installation

MARK = "database-id"
_log = logging.getLogger(__name__)
_ONLY_ROW = 1


def require_own_folder(database: Database, folder: Path) -> None:
    """Check that a folder belongs to a database, which may lack migrations; nothing is changed.

    Raises:
        SettingsError: it belongs to another one.
    """
    mark = _read_mark(folder)
    if mark is not None and mark != database_id(database):
        raise SettingsError(
            f"The data folder {folder} belongs to another database than {database.url!r}; correct "
            "RAG_DATA_DIR or RAG_DATABASE_URL. `rag restore` moves the folder over to an empty database; if "
            f"this one is to have it as it is, remove {folder / MARK}."
        )


def claim_folder(database: Database, folder: Path) -> None:
    """Let a database at its newest revision and a folder that has no mark yet belong together.

    Raises:
        SettingsError: the folder belongs to another database.
    """
    own = _ensure_id(database)
    if _read_mark(folder) is None:
        try:
            _write_mark(folder, own)
        except OSError as error:  # who may only read, searches all the same
            _log.warning("%s can not be marked as this database's: %s", folder, error)
    require_own_folder(database, folder)


def take_folder_over(database: Database, folder: Path) -> bool:
    """Let a folder belong to a database from now on; tell whether it was another one's."""
    own, mark = _ensure_id(database), _read_mark(folder)
    if mark != own:
        _write_mark(folder, own)
    return mark not in {None, own}


def database_id(database: Database) -> str | None:
    """Return a database's id; None: it has none yet."""
    with database.read() as session:
        return id_of(session)


def id_of(session: Session) -> str | None:
    """Return the id of the database of a session, which may lack the table for it; None: it has none."""
    if not inspect(session.connection()).has_table(Installation.__tablename__):
        return None
    return session.scalar(select(Installation.database_id))


def keep_id(session: Session, identity: str) -> None:
    """Give an id to a database that has none."""
    session.add(Installation(id=_ONLY_ROW, database_id=identity))
    session.flush()


def _ensure_id(database: Database) -> str:
    known = database_id(database)
    if known is not None:
        return known
    with database.write() as session:
        if database.is_postgresql:  # SQLite has one writer; of two that start at once the second waits here
            session.execute(text(f"LOCK TABLE {Installation.__tablename__} IN EXCLUSIVE MODE"))
        known = id_of(session)
        if known is None:
            known = new_id("dbs")
            keep_id(session, known)
        return known


def _read_mark(folder: Path) -> str | None:
    try:
        return (folder / MARK).read_text(encoding="ascii", errors="replace").strip() or None
    except FileNotFoundError:
        return None


def _write_mark(folder: Path, identity: str) -> None:
    """Write the mark as a whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{MARK}-")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{identity}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(folder / MARK)
    finally:
        Path(name).unlink(missing_ok=True)
