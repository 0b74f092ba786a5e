"""Real databases: SQLite files, and a private PostgreSQL server that lives as long as the tests."""

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from corpus import migrations
from corpus.database import Database
from tests.factories import migrated_database

_TEMPLATE = "rag_template"
_numbers = count(1)
# The pipe closes when these tests end, however they end; nothing in the server is worth an orderly end.
_UNTIL_WE_END = '"$0" "$@" & server=$!; read -r _; kill -QUIT $server; wait $server'


def server_programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs; None: not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    pg_config = shutil.which("pg_config")
    if pg_config:
        found = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=True)
        folders.append(Path(found.stdout.strip()))
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def server_user() -> str:
    """Return who runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return getpass.getuser()
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """Start a server for this run; yield the URL of its maintenance database."""
    programs = server_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, postgres) are not installed")
    user = server_user()
    folder = Path(tempfile.mkdtemp(prefix="rag-postgresql-"))
    shutil.chown(folder, user)
    run_as = {"user": user, "extra_groups": ()} if os.geteuid() == 0 else {}
    data = folder / "data"
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "rag", "--auth=trust", "--encoding=UTF8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd=folder,
        **run_as,
    )
    port = free_port()
    options = ["-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", str(folder), "-c", "fsync=off"]
    server = subprocess.Popen(
        ["/bin/sh", "-c", _UNTIL_WE_END, programs / "postgres", "-D", data, *options],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **run_as,
    )
    url = f"postgresql+psycopg://rag@127.0.0.1:{port}/postgres"
    try:
        wait_until_it_answers(url, server)
        make_template(url)
        yield url
    finally:
        server.communicate()
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_it_answers(url: str, server: "subprocess.Popen[bytes]") -> None:
    """Return when the server takes connections."""
    engine = create_engine(url)
    deadline = time.monotonic() + 30
    while True:
        try:
            engine.connect().close()
            break
        except OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    engine.dispose()


def make_template(url: str) -> None:
    """Make one migrated database; those of the tests are copies of it."""
    administer(url, f"CREATE DATABASE {_TEMPLATE}")
    database = Database(at(url, _TEMPLATE))
    migrations.upgrade(database)
    database.close()


def administer(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()


def at(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
def empty_postgresql_url(postgresql_server: str) -> str:
    """Return the URL of a fresh database without tables."""
    name = f"rag_{next(_numbers)}"
    administer(postgresql_server, f"CREATE DATABASE {name}")
    return at(postgresql_server, name)


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """Return the URL of a fresh, migrated database; it ends with the server, dropping takes longer."""
    name = f"rag_{next(_numbers)}"
    administer(postgresql_server, f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}")
    return at(postgresql_server, name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Yield a fresh, migrated database of each kind."""
    if request.param == "sqlite":
        database = migrated_database(tmp_path)
    else:
        database = Database(request.getfixturevalue("postgresql_url"))
    yield database
    database.close()
