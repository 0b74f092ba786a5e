"""What commands print: tables for people, tab-separated lines for pipes, JSON lines for programs."""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import typer

from corpus.errors import CorpusError, InvalidRequest, SettingsError


class ConfirmationMissing(CorpusError):
    """A command that deletes was not confirmed."""


FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130  # as shells have it for Ctrl-C
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def is_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout.isatty()


def print_json(value: object) -> None:
    """Print one value as one line of JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def on_one_line(text: str) -> str:
    """Return a name as a table can hold it: tabs, line ends and what commands a terminal become spaces.

    Titles and file names come from anywhere, and may have any character.
    """
    return _CONTROLS.sub(" ", text)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows: aligned under headings on a terminal, else separated by tabs and without headings."""
    texts = [["" if cell is None else on_one_line(str(cell)) for cell in row] for row in rows]
    if not is_terminal():
        for row in texts:
            typer.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in texts:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print one thing's fields, a line each."""
    width = max(map(len, fields))
    for name, value in fields.items():
        typer.echo(f"{name:<{width}}  {'' if value is None else on_one_line(str(value))}".rstrip())


def day(moment: datetime | None) -> str:
    """Return a moment as people read it, in this machine's time zone."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M")


def warn(message: str) -> None:
    """Print a line for the person at the terminal, apart from the results."""
    typer.echo(message, err=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is lost for good.

    Raises:
        ConfirmationMissing: nobody is there to ask, or the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfirmationMissing(f"{question} Nobody can be asked here; add --yes to do it.")
    if not typer.confirm(question):
        raise ConfirmationMissing("Nothing was changed.")


def report(error: Exception) -> int:
    """Print what went wrong in a sentence and return the exit code that belongs to it."""
    if isinstance(error, CorpusError):
        warn(f"Error: {error}")
        return WRONG_USAGE if isinstance(error, InvalidRequest | SettingsError) else FAILED
    if _is_database_error(error):
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        warn(f"Error: the database does not answer ({reason}); check RAG_DATABASE_URL and RAG_DATA_DIR.")
        return FAILED
    if isinstance(error, OSError):
        place = f" ({error.filename})" if error.filename else ""
        warn(f"Error: {error.strerror or error}{place}; check the path and its permissions.")
        return FAILED
    if isinstance(error, UnicodeDecodeError):
        warn(f"Error: what was read is not in UTF-8 ({error.reason} at byte {error.start}); convert it.")
        return FAILED
    warn(f"Error: {type(error).__name__}: {error}. That is a fault of the program; --debug shows where.")
    return FAILED


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _is_database_error(error: Exception) -> bool:
    module = sys.modules.get("sqlalchemy.exc")  # never imported: then it can not be one
    return module is not None and isinstance(error, module.OperationalError)
