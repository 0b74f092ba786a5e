"""Which worker am I? The lowest number that no living worker holds.

Durable workflows remember the number of the worker that runs them. A number is a lock that ends with
its process: who gets the lock of a dead worker's number may go on with that worker's workflows, and
nobody else does at that time.
"""

import fcntl
import os
from itertools import count
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from corpus.database import Database

_ADVISORY_CLASS = 0x7261_6701  # tells our locks from those of other programs on the same server


class Slot(Protocol):
    """A number that is held until `release`, or until the process ends."""

    @property
    def number(self) -> int:
        """From 0."""

    def is_held(self) -> bool:
        """Tell whether the lock is still ours; a lost connection loses it."""

    def release(self) -> None:
        """Let others have the number."""


class Slots(Protocol):
    """All numbers of one installation."""

    def claim(self, number: int) -> Slot | None:
        """Return the slot of this number, None: another process holds it."""

    def is_any_held(self, *, besides: int | None = None) -> bool:
        """Tell whether some worker lives, here or elsewhere, not counting the one of a number."""


def claim_lowest(slots: Slots) -> Slot:
    """Return the lowest free slot."""
    return next(slot for number in count() if (slot := slots.claim(number)) is not None)


def open_slots(database: Database, folder: Path) -> Slots:
    """Return the slots: in the database on PostgreSQL, as files in `folder` on SQLite."""
    return DatabaseSlots(database) if database.is_postgresql else FileSlots(folder)


class FileSlots:
    """One lock file a number, for processes of one machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self, number: int) -> "FileSlot | None":
        """Lock the file of this number."""
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._folder / f"{number}.lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return FileSlot(number, descriptor)

    def is_any_held(self, *, besides: int | None = None) -> bool:
        """Try to lock each file for a moment."""
        own = f"{besides}.lock"
        return any(_is_locked(file) for file in self._folder.glob("*.lock") if file.name != own)


def _is_locked(file: Path) -> bool:
    with file.open("rb") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class FileSlot:
    """A locked file. Its descriptor is not inherited by programs that the worker starts."""

    def __init__(self, number: int, descriptor: int) -> None:
        self.number = number
        self._descriptor: int | None = descriptor

    def is_held(self) -> bool:
        """Files stay locked as long as the process lives."""
        return self._descriptor is not None

    def release(self) -> None:
        """Unlock the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class DatabaseSlots:
    """One advisory lock a number, for processes of several machines."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")

    def claim(self, number: int) -> "DatabaseSlot | None":
        """Take the advisory lock of this number on a connection of its own."""
        connection = self._engine.connect()
        connection.detach()  # from the pool: its lock must end with it
        keys = {"class": _ADVISORY_CLASS, "number": number}
        locked = connection.execute(text("SELECT pg_try_advisory_lock(:class, :number)"), keys).scalar_one()
        if not locked:
            connection.close()
            return None
        # The server notices within half a minute when this machine is gone.
        for setting, seconds in (("idle", 10), ("interval", 5), ("count", 4)):
            connection.exec_driver_sql(f"SET tcp_keepalives_{setting} = {seconds}")
        return DatabaseSlot(number, connection)

    def is_any_held(self, *, besides: int | None = None) -> bool:
        """Ask the server for its list of locks."""
        held = text(
            "SELECT EXISTS (SELECT 1 FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database "
            "WHERE locktype = 'advisory' AND classid = :class AND granted AND datname = current_database() "
            "AND CAST(objid AS bigint) <> :besides)"
        )
        values = {"class": _ADVISORY_CLASS, "besides": -1 if besides is None else besides}
        with self._engine.connect() as connection:
            return bool(connection.execute(held, values).scalar_one())


class DatabaseSlot:
    """A connection that holds an advisory lock."""

    def __init__(self, number: int, connection: Connection) -> None:
        self.number = number
        self._connection = connection

    def is_held(self) -> bool:
        """Ask the server over the same connection: as long as that lives, so does its lock."""
        try:
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            return False
        return True

    def release(self) -> None:
        """Close the connection, and the lock with it."""
        self._connection.close()
