"""The command line, `rag`: one module a noun.

Modules import the rest of the project inside their commands: `rag --help` answers at once, and only
commands that run a model wait for torch.

Exit codes: 0 done, 1 failed, 2 wrong usage. Errors are a sentence about what is wrong and one about
what to do, on standard error; with `--debug`, wherever it stands, the traceback follows.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from corpus.errors import InvalidRequest
from corpus.text import encodable
from rag_service.cli import ask, ingest, replay, search, serve, terminal, tokenize, upkeep
from rag_service.cli.collections import collections
from rag_service.cli.documents import documents
from rag_service.cli.evaluation import evaluation
from rag_service.cli.generations import compact, generations, reindex
from rag_service.cli.jobs import jobs
from rag_service.cli.keys import keys
from rag_service.cli.models import models

app = typer.Typer(
    name="rag",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
QUESTIONS, DOCUMENTS, RUNNING = "Questions", "Documents", "Running it"
app.command(rich_help_panel=QUESTIONS)(ask.ask)
app.command(rich_help_panel=QUESTIONS)(ask.chat)
app.command(rich_help_panel=QUESTIONS)(search.search)
app.command(rich_help_panel=QUESTIONS)(replay.replay)
app.add_typer(evaluation, name="eval", rich_help_panel=QUESTIONS)
app.command(rich_help_panel=DOCUMENTS)(ingest.ingest)
app.add_typer(documents, name="documents", rich_help_panel=DOCUMENTS)
app.add_typer(collections, name="collections", rich_help_panel=DOCUMENTS)
app.add_typer(jobs, name="jobs", rich_help_panel=DOCUMENTS)
app.command(rich_help_panel=RUNNING)(serve.serve)
app.command(rich_help_panel=RUNNING)(serve.worker)
app.command(rich_help_panel=RUNNING)(upkeep.migrate)
app.add_typer(generations, name="generations", rich_help_panel=RUNNING)
app.command(rich_help_panel=RUNNING)(reindex)
app.command(rich_help_panel=RUNNING)(compact)
app.command(rich_help_panel=RUNNING)(upkeep.check)
app.command(rich_help_panel=RUNNING)(upkeep.backup)
app.command(rich_help_panel=RUNNING)(upkeep.restore)
app.command(rich_help_panel=RUNNING)(tokenize.tokenize)
app.add_typer(models, name="models", rich_help_panel=RUNNING)
app.add_typer(keys, name="keys", rich_help_panel=RUNNING)


@app.callback()
def _root(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Ask questions about your documents; get answers with sources that can be checked."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the program with its exit code."""
    let_threads_sleep()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = take_debug(words)
    try:
        check_words(words)
        app(args=words, prog_name="rag")
    except Exception as error:
        if debug:
            raise
        sys.exit(terminal.report(error))


def let_threads_sleep() -> None:
    """Let torch's threads sleep while they wait for each other; read when torch is imported.

    By default they spin. On cores that have other work too, that took three times the CPU and twice the
    time (docs/decisions/0070-waiting-threads.md).
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def check_words(words: Sequence[str]) -> None:
    """Refuse bytes that are no UTF-8: neither a database nor a model could take them.

    Raises:
        InvalidRequest: a word has such bytes.
    """
    for word in words:
        if encodable(word) != word:
            raise InvalidRequest(
                f"{encodable(word)!r} is not in UTF-8; write it so, or rename the file that is called so."
            )


def take_debug(words: list[str]) -> bool:
    """Remove `--debug` from the words before a `--`; it is welcome anywhere."""
    end = words.index("--") if "--" in words else len(words)
    found = "--debug" in words[:end]
    words[:] = [word for word in words[:end] if word != "--debug"] + words[end:]
    return found
