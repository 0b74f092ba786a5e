"""The database: engine, transactions, SQLite's settings, naming of constraints.

Two kinds of transaction, on both databases:

* ``with database.read() as session`` sees one consistent snapshot and can not write;
* ``with database.write() as session`` commits when the block ends and rolls back when it raises.

SQLite has one writer at a time. A transaction that first reads and then writes can fail at the
upgrade with "database is locked" whatever the busy timeout is; so a write transaction takes the
write lock at its beginning (BEGIN IMMEDIATE) and waits its turn there.
"""

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from corpus.errors import SettingsError

SQLITE_BUSY_TIMEOUT_MS = 60_000
_KNOWN_URLS = "write sqlite:///path or postgresql+psycopg://user:password@host/name."
NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(DeclarativeBase):
    """Parent of the mapped tables; names every constraint, so that migrations can drop them."""

    metadata = MetaData(naming_convention=NAMING)


class Database:
    """An engine and its two kinds of transaction.

    Raises:
        SettingsError: the URL is none, or one of a database or driver that is not used here, or of memory.
    """

    def __init__(self, url: str) -> None:
        self.url = _read_url(url)
        self.engine = _make_engine(self.url)
        self._reading = self.engine.execution_options(
            **(
                {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
                if self.is_postgresql
                else {}
            )
        )
        writing = self.engine.execution_options(rag_write=True)
        file = self.url.database if _is_sqlite_file(self.url) else None
        self._commits = _SqliteCommits(file) if file else None
        self._bare = _SqliteSnapshots(file) if file else None
        self._read = sessionmaker(self._reading, expire_on_commit=False)
        self._write = sessionmaker(writing, expire_on_commit=False)

    @property
    def is_postgresql(self) -> bool:
        """Whether the server is PostgreSQL (else it is SQLite)."""
        return self.url.get_backend_name() == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a snapshot; nothing is written."""
        with self._read() as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Open a snapshot for statements without entities, which saves a third of a short one's time."""
        with self._reading.connect() as connection:
            yield connection

    def bare_snapshot(self) -> AbstractContextManager[Connection | sqlite3.Connection]:
        """Open a snapshot for the one statement of a search: on SQLite a connection of the driver itself.

        Every layer above it costs such a statement as much again as SQLite takes.
        """
        return self.snapshot() if self._bare is None else self._bare.open()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a transaction that commits at the end of the block."""
        with self._write.begin() as session:
            yield session

    def version(self) -> int | None:
        """Return a number that is another one after each commit, of any process; None: there is none.

        Whoever reads the number first and then a snapshot has, as long as the number stays, what a new
        snapshot would say. It costs microseconds, and so far only files of SQLite have it.
        """
        return None if self._commits is None else self._commits.version()

    def close(self) -> None:
        """Give all connections back."""
        if self._commits is not None:
            self._commits.close()
        if self._bare is not None:
            self._bare.close()
        self.engine.dispose()


class _SqliteCommits:
    """Asks SQLite whether somebody committed, over a connection that never writes itself."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._connection: sqlite3.Connection | None = None
        self._opened = 0  # numbers of two connections say nothing about each other
        self._lock = threading.Lock()

    def version(self) -> int:
        """Return `PRAGMA data_version`, which is of use only beside others of the same connection."""
        with self._lock:
            if self._connection is None:
                self._connection = _connect_to_read(self._file)
                self._opened += 1
            (version,) = self._connection.execute("PRAGMA data_version").fetchone()
            return int(self._opened << 32 | version)

    def close(self) -> None:
        """Close the connection; the next call opens another one."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


class _SqliteSnapshots:
    """Lends connections that only read, one to a thread at a time; each is kept for the next."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._idle: deque[sqlite3.Connection] = deque()
        self._times_closed = 0

    @contextmanager
    def open(self) -> Iterator[sqlite3.Connection]:
        """Open a snapshot; it begins with the first statement.

        After an error the connection is closed: a statement that was left midway would keep its snapshot.
        """
        times_closed = self._times_closed
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = _connect_to_read(self._file)
        whole = False
        try:
            connection.execute("BEGIN")
            yield connection
            connection.rollback()
            whole = times_closed == self._times_closed
        finally:
            if whole:
                self._idle.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Close what nobody uses, and what is lent once it comes back; the next call opens others."""
        self._times_closed += 1
        with suppress(IndexError):  # the last one may just have been lent
            while True:
                self._idle.pop().close()


def _connect_to_read(file: str) -> sqlite3.Connection:
    """Open a connection for any thread, but for one at a time."""
    connection = sqlite3.connect(
        file, timeout=SQLITE_BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA query_only = ON")
    return connection


def _is_sqlite_file(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and not url.query


def _read_url(text: str) -> URL:
    """Read the setting; its text is not shown, since it may have a password."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        raise SettingsError(f"RAG_DATABASE_URL is no address of a database; {_KNOWN_URLS}") from error
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise SettingsError(f"RAG_DATABASE_URL: {url.get_backend_name()} is not supported; {_KNOWN_URLS}")
    if url.get_backend_name() == "sqlite" and _is_in_memory(url):
        raise SettingsError(
            "RAG_DATABASE_URL: a database in memory forgets all documents when the program ends; leave the "
            f"setting out for a file in the data folder, or {_KNOWN_URLS}"
        )
    return url


def _is_in_memory(url: URL) -> bool:
    """Tell SQLite's names for no file; each connection or process would see a database of its own."""
    return ":memory:" in (url.database or ":memory:") or url.query.get("mode") == "memory"


def _make_engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return _make_sqlite_engine(url)
        return create_engine(url, pool_pre_ping=True)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise SettingsError(
            f"RAG_DATABASE_URL: there is no driver for {url.drivername} ({error}); {_KNOWN_URLS} "
            "The latter needs the extra rag-service[postgresql]."
        ) from error


def _make_sqlite_engine(url: URL) -> Engine:
    if url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
    connection.isolation_level = None  # BEGIN is ours, below
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # a commit survives the loss of power, not only a crash
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("rag_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
