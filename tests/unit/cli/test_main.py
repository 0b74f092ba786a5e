"""The command line's frame: help, exit codes, errors in a sentence, tracebacks on demand."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.main import get_command

from corpus.errors import CollectionNotFound, InvalidRequest, SettingsError
from rag_service import cli
from rag_service.cli import terminal
from tests.commands import faults

RAG = [sys.executable, "-c", "from rag_service.cli import main; main()"]


def run(*words: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run `rag` as a program of its own."""
    environment = {**os.environ, **variables, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    return subprocess.run(
        [*RAG, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def outcome(*words: str) -> int:
    """Run `rag` in this process and return its exit code."""
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    code = ended.value.code
    return code if isinstance(code, int) else 0


def test_help_does_not_wait_for_the_models(tmp_path: Path) -> None:
    """`rag --help` imports neither torch nor a database, and answers at once."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        assert run("--help", cwd=tmp_path).returncode == 0
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 1.0  # 0.3 s on a quiet machine
    heavy = "torch", "sqlalchemy", "fastapi", "faiss", "pydantic_settings"
    code = f"import sys, rag_service.cli; print([name for name in {heavy} if name in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert seen.stdout.strip() == "[]"


def test_every_command_and_option_says_what_it_is() -> None:
    """Each command has a help text, and so has each of its options and arguments."""

    def look(path: str, command: object) -> list[str]:
        if hasattr(command, "commands"):
            inner = [gap for name, each in command.commands.items() for gap in look(f"{path} {name}", each)]
            return inner if command.help else [path, *inner]
        silent = [f"{path} {each.name}" for each in command.params if not getattr(each, "help", None)]
        return silent if command.help else [path, *silent]

    assert look("rag", get_command(cli.app)) == []


def test_wrong_usage_ends_with_2() -> None:
    """A command or option that does not exist is wrong usage."""
    assert outcome("no-such-command") == terminal.WRONG_USAGE
    assert outcome("migrate", "--no-such-option") == terminal.WRONG_USAGE


@pytest.mark.parametrize(
    "words",
    [("ask", "bad \udcff"), ("documents", "show", "\udcff"), ("search", "a", "--collection", "\udcff")],
)
def test_bytes_that_are_no_utf_8_are_wrong_usage(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A word with such bytes, which Python hands over as half a surrogate pair, is told in one line."""
    assert outcome(*words) == terminal.WRONG_USAGE
    assert "is not in UTF-8" in capsys.readouterr().err


def test_an_unknown_setting_ends_with_2_and_is_named(tmp_path: Path) -> None:
    """A misspelt variable stops every command, in one line."""
    ended = run("migrate", cwd=tmp_path, RAG_DATABASE_ULR="x")
    assert ended.returncode == terminal.WRONG_USAGE
    assert ended.stderr.startswith("Error: Unknown setting RAG_DATABASE_ULR")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CollectionNotFound("There is no collection 'x'; make it."), terminal.FAILED),
        (InvalidRequest("query: must not be blank."), terminal.WRONG_USAGE),
        (SettingsError("RAG_QUEUE_SIZE: must be greater than 0."), terminal.WRONG_USAGE),
        (PermissionError(13, "Permission denied", "/x"), terminal.FAILED),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), terminal.FAILED),
        (ZeroDivisionError("division by zero"), terminal.FAILED),
    ],
)
def test_errors_are_one_line_and_have_their_exit_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """An error is told in one line on standard error."""
    assert terminal.report(error) == code
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("Error: ")
    assert told.err.count("\n") == 1


def test_debug_shows_the_traceback_wherever_it_stands(tmp_path: Path) -> None:
    """`--debug` before or behind the command gives the traceback; without it there is none."""
    broken = {"RAG_DATABASE_URL": "sqlite:////proc/no/such/folder/x.sqlite3"}
    assert "Traceback" not in run("migrate", cwd=tmp_path, **broken).stderr
    assert "Traceback" in run("migrate", "--debug", cwd=tmp_path, **broken).stderr
    assert "Traceback" in run("--debug", "migrate", cwd=tmp_path, **broken).stderr


def test_debug_after_two_dashes_is_an_argument() -> None:
    """What stands behind `--` belongs to the command."""
    words = ["ask", "--debug", "--", "--debug"]
    assert cli.take_debug(words)
    assert words == ["ask", "--", "--debug"]


def test_migrate_makes_the_database_and_says_so(work_folder: Path) -> None:
    """The first run makes it, the second has nothing to do."""
    first, second = run("migrate", cwd=work_folder), run("migrate", cwd=work_folder)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "already" not in first.stdout
    assert "already" in second.stdout
    assert (work_folder / "rag-data" / "rag.sqlite3").is_file()


def test_commands_migrate_sqlite_by_themselves(work_folder: Path) -> None:
    """A list on a fresh machine is empty, and no error."""
    ended = run("jobs", "list", "--json", cwd=work_folder)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_what_is_not_there_fails_with_a_hint(work_folder: Path) -> None:
    """An unknown job is an error with the way out."""
    ended = run("jobs", "show", "job_unknown", cwd=work_folder)
    assert ended.returncode == terminal.FAILED
    assert "`rag jobs list`" in ended.stderr


def test_nothing_is_deleted_without_being_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody can be asked, a command that deletes wants --yes."""
    with pytest.raises(terminal.ConfirmationMissing, match="--yes"):
        terminal.confirm("Delete it?", yes=False)
    terminal.confirm("Delete it?", yes=True)
    assert capsys.readouterr().out == ""


def test_json_lines_keep_other_alphabets(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON is one line, in the letters that were written."""
    terminal.print_json({"title": "Vostrelská stanice: Übersicht"})
    line = capsys.readouterr().out
    assert "Übersicht" in line
    assert json.loads(line) == {"title": "Vostrelská stanice: Übersicht"}


def test_tables_are_tab_separated_for_pipes(capsys: pytest.CaptureFixture[str]) -> None:
    """Where no person reads, rows have tabs and no headings."""
    terminal.print_table(("id", "title"), [("doc_1", None), ("doc_2", "[x] a")])
    assert capsys.readouterr().out == "doc_1\t\ndoc_2\t[x] a\n"


def test_a_name_can_not_break_a_table_or_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A row stays a row with its columns, whatever a file or a title is called."""
    terminal.print_table(("id", "title"), [("doc_1", "a\tb\nc\x1b[31m\x9b2J")])
    terminal.print_fields({"title": "a\r\nstatus  ready\x1b]0;x\x07"})
    assert capsys.readouterr().out == "doc_1\ta b c [31m 2J\ntitle  a  status  ready ]0;x\n"


def test_a_status_that_documents_do_not_have_is_wrong_usage() -> None:
    """A misspelt one would list nothing, as if there were none."""
    assert outcome("documents", "list", "--status", "faled") == terminal.WRONG_USAGE


@pytest.mark.parametrize(
    "url",
    [
        "rag.sqlite3",
        "mysql://host/name",
        "postgresql+nodriver://host/name",
        "postgresql://host:x/name",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file::memory:?uri=true",
        "sqlite:///file:name?mode=memory&uri=true",
    ],
)
def test_an_address_of_no_database_is_wrong_usage(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the setting and says what can stand there; what is in memory would be forgotten."""
    monkeypatch.setenv("RAG_DATABASE_URL", url)
    assert outcome("jobs", "list") == terminal.WRONG_USAGE
    error = capsys.readouterr().err
    assert error.startswith("Error: RAG_DATABASE_URL")
    assert "postgresql+psycopg://" in error


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b"queue_size = 5\n# caf\xe9\n", "line 2, byte 21"),
        ("queue_size = 5".encode("utf-16"), "line 1, byte 1"),
        (b"queue_size = \n", "line 1, column 14"),
    ],
)
def test_a_settings_file_that_can_not_be_read_is_wrong_usage(
    work_folder: Path, capsys: pytest.CaptureFixture[str], content: bytes, place: str
) -> None:
    """The message names the file and the place in it."""
    (work_folder / "rag.toml").write_bytes(content)
    assert outcome("jobs", "list") == terminal.WRONG_USAGE
    error = capsys.readouterr().err
    assert error.startswith("Error: rag.toml")
    assert place in error


@pytest.mark.parametrize("words", [["nonsense"], ["jobs", "nonsense"], ["jobs", "list", "--nonsense"]])
def test_the_check_of_written_commands_finds_faults(words: list[str]) -> None:
    """tests/commands.py, which holds documents against the program, does refuse."""
    assert faults(words)
