"""The processes that parse: what becomes of them when a document is hostile, and when they die."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from corpus.chunks import Heading, PageSpan
from corpus.errors import DamagedDocument, EmptyDocument, ParseLimitExceeded, UnsafeDocument
from indexer.parsing import parse_document
from indexer.parsing.sandbox import ParserPool
from tests.unit.indexer import made

SLOW = b"# a\n\nfoo [x](y)\n\n" * 1_000_000  # takes far more than a second
EPILOGUE_S = 10.0


@pytest.fixture
def pool() -> Iterator[ParserPool]:
    """Return a pool of one worker."""
    with ParserPool(timeout_s=30, memory_mb=512) as made_pool:
        yield made_pool


def worker_id(pool: ParserPool) -> int:
    """Return the process id of the pool's only worker."""
    process = pool._all[0]._process
    assert process is not None
    return process.pid


def until(happened: Callable[[], bool]) -> bool:
    """Wait for something; return whether it came."""
    deadline = time.monotonic() + EPILOGUE_S
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.02)
    return happened()


def is_running(process_id: int) -> bool:
    """Whether the process runs; one that waits to be collected does not."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (made.pdf_of([["one"], ["two"]], title="T\u00eftle", bookmarks=["one"]), None),
        ("# Gr\u00f6\u00dfe \U0001f600\n\ntext".encode(), "a.md"),
        (b"x" * 3_000_000, None),
    ],
)
def test_document_crosses_the_pipe_whole(pool: ParserPool, data: bytes, name: str | None) -> None:
    """A worker's document is the one that this process would read."""
    assert pool.parse(data, filename=name) == parse_document(data, filename=name)


def test_structure_crosses_the_pipe(pool: ParserPool) -> None:
    """Pages and headings arrive as their types."""
    document = pool.parse(made.pdf_of([["one"]], bookmarks=["one"]), filename=None)
    assert document.pages == (PageSpan(0, 3, 1),)
    assert document.headings == (Heading(0, 1, "one"),)


def test_given_media_type_crosses_the_pipe(pool: ParserPool) -> None:
    """What a client says of a text counts in the worker, too."""
    document = pool.parse(b"some <i>words</i>", filename=None, media_type="text/html")
    assert (document.text, document.media_type) == ("some words", "text/html")


def test_errors_cross_the_pipe(pool: ParserPool) -> None:
    """A document's error arrives as its class with its message; the worker goes on."""
    with pytest.raises(EmptyDocument, match="no bytes"):
        pool.parse(b"", filename="a.txt")
    first = worker_id(pool)
    with pytest.raises(UnsafeDocument):
        pool.parse(b"[" * 100_000, filename="a.json")
    with pytest.raises(DamagedDocument):
        pool.parse(b"%PDF-1.7 nonsense", filename="a.pdf")
    assert worker_id(pool) == first


def test_slow_document_is_killed() -> None:
    """A document over the time limit fails at the limit, alone."""
    with ParserPool(timeout_s=1, memory_mb=2_048) as pool:
        assert pool.parse(b"before", filename=None).text == "before"
        hanging = worker_id(pool)
        begin = time.monotonic()
        with pytest.raises(ParseLimitExceeded, match="1 seconds"):
            pool.parse(SLOW, filename="a.md")
        assert time.monotonic() - begin < 2
        assert not is_running(hanging)
        assert pool.parse(b"after", filename=None).text == "after"


def test_large_document_hits_the_memory_limit() -> None:
    """A document over the memory limit fails with its name, alone."""
    with ParserPool(timeout_s=60, memory_mb=64) as pool:
        with pytest.raises(ParseLimitExceeded, match="RAG_PARSE_MEMORY_MB"):
            pool.parse(b"x" * 60_000_000, filename="a.txt")
        assert pool.parse(b"after", filename=None).text == "after"


def test_library_that_swallows_memory_is_killed() -> None:
    """Memory that a library written in another language takes counts as well."""
    sheet = made.xlsx_of({"a": [["x"]]})
    parts = made.parts_of(sheet)
    # One value in each corner: read as a dense table, 17 billion cells.
    parts["xl/worksheets/sheet1.xml"] = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
        b"</sheetData></worksheet>"
    )
    with ParserPool(timeout_s=60, memory_mb=256) as pool:
        with pytest.raises(ParseLimitExceeded):
            pool.parse(made.zip_of(parts), filename="a.xlsx")
        assert pool.parse(b"after", filename=None).text == "after"


def test_worker_killed_at_work_fails_its_document_only() -> None:
    """A worker that dies takes one document with it."""
    with ParserPool(timeout_s=60, memory_mb=2_048) as pool:
        pool.parse(b"before", filename=None)
        threading.Timer(0.5, os.kill, (worker_id(pool), signal.SIGKILL)).start()
        with pytest.raises(ParseLimitExceeded, match="ended its parser"):
            pool.parse(SLOW, filename="a.md")
        assert pool.parse(b"after", filename=None).text == "after"


def test_worker_killed_idle_fails_nothing(pool: ParserPool) -> None:
    """A worker that died between documents is replaced unnoticed."""
    pool.parse(b"before", filename=None)
    first = worker_id(pool)
    os.kill(first, signal.SIGKILL)
    assert until(lambda: not is_running(first))
    assert pool.parse(b"after", filename=None).text == "after"


def test_threads_share_the_workers() -> None:
    """More threads than workers wait their turn and get their own documents."""
    with ParserPool(timeout_s=30, memory_mb=512, workers=2) as pool, ThreadPoolExecutor(8) as threads:
        texts = list(
            threads.map(lambda at: pool.parse(f"text {at}".encode(), filename=None).text, range(200))
        )
    assert texts == [f"text {at}" for at in range(200)]


def test_closing_ends_the_workers() -> None:
    """After close no worker runs, not even a busy one, and nothing is parsed."""
    pool = ParserPool(timeout_s=60, memory_mb=2_048, workers=2)
    pool.parse(b"x", filename=None)
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(pool.parse, SLOW, filename="a.md")
        assert until(lambda: pool._idle.qsize() == 1)
        time.sleep(0.5)
        running = [worker._process.pid for worker in pool._all if worker._process is not None]
        pool.close()
        with pytest.raises(RuntimeError, match="closed"):
            busy.result(EPILOGUE_S)
    assert running
    assert not any(map(is_running, running))
    with pytest.raises(RuntimeError, match="closed"):
        pool.parse(b"x", filename=None)


def test_workers_end_with_their_parent() -> None:
    """A parent that is killed leaves no worker behind."""
    program = (
        "import sys, time\n"
        "from indexer.parsing.sandbox import ParserPool\n"
        "pool = ParserPool(timeout_s=30, memory_mb=512)\n"
        "pool.parse(b'x', filename=None)\n"
        "print(pool._all[0]._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        assert is_running(worker)
        parent.kill()
    assert until(lambda: not is_running(worker))


def test_worker_is_light_and_knows_no_secrets(pool: ParserPool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker imports no torch and does not see the service's environment."""
    monkeypatch.setenv("RAG_CHAT_API_KEY", "secret")
    for data in [made.pdf_of([["x"]]), b"<html>x</html>", made.docx_of(lambda doc: doc.add_paragraph("x"))]:
        pool.parse(data, filename=None)
    process = Path(f"/proc/{worker_id(pool)}")
    assert b"RAG_CHAT_API_KEY" not in (process / "environ").read_bytes()
    assert "torch" not in (process / "maps").read_text()


def test_worker_writes_no_files(pool: ParserPool) -> None:
    """A document that takes a parser over can not fill the disk."""
    pool.parse(b"x", filename=None)
    limits = Path(f"/proc/{worker_id(pool)}/limits").read_text()
    (line,) = [line for line in limits.splitlines() if line.startswith("Max file size")]
    assert line.split()[3:5] == ["0", "0"]
