"""`rag serve` while hundreds of megabytes come in: its memory stays where it is."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.integration.api.test_reindex_while_serving import is_ready, wait_until
from tests.integration.conftest import free_port
from tests.workplace import RAG, ROOT

MEBIBYTE = 1 << 20
BODY = 300 * MEBIBYTE
GROWTH = 100 * MEBIBYTE
BOUNDARY = "files-of-a-test"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Yield the address and process of a service that leaves reading to others."""
    folder = tmp_path_factory.mktemp("large")
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RAG_DATA_DIR": str(folder / "data"),
        "RAG_WORKER": "none",
        "TMPDIR": str(folder),
    }
    server = subprocess.Popen([*RAG, "serve", "--port", str(port)], env=environment, cwd=folder)
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_ready(url, server))
        send(url, [b'{"text": "Warms up."}\n'])
        yield url, server.pid
    finally:
        server.kill()
        server.wait()


def memory(pid: int, field: str) -> int:
    """Return a process's memory in bytes: VmRSS now, VmHWM at its peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def send(url: str, body: Iterator[bytes] | list[bytes], kind: str = "application/jsonl") -> httpx2.Response:
    """Send a body in parts, so that neither side has it as a whole."""
    response = httpx2.post(
        f"{url}/v1/ingestion_jobs", content=iter(body), headers={"Content-Type": kind}, timeout=300
    )
    assert response.status_code == 202, response.text
    return response


def form(name: str, sizes: list[int], parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a form of files."""
    for number, size in enumerate(sizes):
        disposition = f'form-data; name="files"; filename="{number}-{name}"'
        yield f"--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n".encode()
        left = size
        while left > 0:
            part = next(parts)[:left]
            left -= len(part)
            yield part
        yield b"\r\n"
    yield f"--{BOUNDARY}--\r\n".encode()


def zeros() -> Iterator[bytes]:
    """Yield zeros for ever."""
    while True:
        yield bytes(MEBIBYTE)


def lines() -> Iterator[bytes]:
    """Yield records of a mebibyte each."""
    for number in range(BODY // MEBIBYTE):
        yield json.dumps({"text": f"{number} " + "x" * MEBIBYTE}).encode() + b"\n"


def archive(folder: Path) -> Path:
    """Make an archive whose members are as large as the other bodies."""
    path = folder / "large.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for number in range(6):
            opened.writestr(f"{number}.txt", bytes([48 + number]) * (BODY // 6))
    return path


@pytest.mark.parametrize("kind", ["files", "lines", "archive"])
def test_memory_does_not_grow_with_an_upload(service: tuple[str, int], tmp_path: Path, kind: str) -> None:
    """Three files of a hundred megabytes, three hundred lines of one, an archive that unpacks to as much."""
    url, pid = service
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # forgets the peak
    before = memory(pid, "VmRSS")
    if kind == "lines":
        response = send(url, lines())
    else:
        packed = archive(tmp_path) if kind == "archive" else None
        body = (
            form("large.zip", [packed.stat().st_size], iter([packed.read_bytes()]))
            if packed
            else form("zeros.txt", [BODY // 3] * 3, zeros())
        )
        response = send(url, body, f"multipart/form-data; boundary={BOUNDARY}")
    growth = memory(pid, "VmHWM") - before
    print(f"{kind}: {growth / MEBIBYTE:.0f} MiB")  # noqa: T201 - seen with -s
    assert growth < GROWTH
    counts = response.json()["counts"]
    assert counts["failed"] == 0
    assert counts["total"] == {"files": 3, "lines": 300, "archive": 6}[kind]
