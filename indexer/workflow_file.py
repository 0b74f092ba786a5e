"""The file in which DBOS keeps the state of workflows on SQLite, and what to do with a damaged one.

Nothing of it is the only one of its kind: jobs and their items are rows of the database, and a worker gives
each unfinished job without a living workflow a new one (`indexer.caretaker.JobQueuer`).
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from corpus.errors import NotReady
from corpus.models import now

_log = logging.getLogger(__name__)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY_CODE = 0xFF  # the rest of an error's code says more about it
_BESIDE = ("-wal", "-shm", "")  # the file itself last: killed before, the next start finds it and goes on


def set_aside_if_damaged(file: Path, *, alone: bool) -> Path | None:
    """Rename a file that SQLite can not read; return its new name, None: there is none, or it is whole.

    Args:
        file: the state of workflows.
        alone: no other worker uses it.

    Raises:
        NotReady: it is damaged, and another worker uses it.
    """
    problem = _problem_of(file) if file.exists() else None
    if problem is None:
        return None
    if not alone:
        raise NotReady(
            f"{file}, the state of workflows, is damaged ({problem}), and another worker uses it; stop that "
            "one and start again, then it is set aside."
        )
    aside = file.with_name(f"{file.stem}-damaged-{now():%Y%m%dT%H%M%S%f}{file.suffix}")
    for end in _BESIDE:
        part = Path(f"{file}{end}")
        if part.exists():
            part.rename(f"{aside}{end}")
    _log.warning(
        "%s, the state of workflows, is damaged (%s); it is kept as %s, which can be removed, and jobs that "
        "are not over go on from the database.",
        file,
        problem,
        aside.name,
    )
    return aside


def _problem_of(file: Path) -> str | None:
    """Say what is wrong with a database's file; what keeps it from being read just now is no damage."""
    try:
        with closing(sqlite3.connect(file, timeout=30)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & _PRIMARY_CODE in _DAMAGE:
            return str(error)
        raise
    return None if verdict == "ok" else str(verdict)
