"""Sends made-up requests, fitting and not, to all query routes of a running service, for some minutes.

    .venv/bin/python benchmarks/fuzz.py --schemathesis ENV/bin/schemathesis [--minutes 30] [--url URL]

schemathesis reads the service's OpenAPI document and makes the requests (it is no dependency: install it
into an environment of its own). Every response must have a documented status, never 5xx, the documented
type and the documented shape. Without `--url` a service is started over examples/corpus, with the tests'
stand-ins for the two models, so that the routes are tried thousands of times rather than dozens. The exit
code is schemathesis'.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RAG = (sys.executable, "-m", "tests.rag_with_fakes")
ROUTES = r"^/v1/(answers|search|chat|models|embeddings|traces|tokens)"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
PATIENCE_S = 120


@contextmanager
def small_service(folder: Path) -> Iterator[str]:
    """Start a service with documents and stand-ins for the models; yield its address."""
    environment = os.environ | {"RAG_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    subprocess.run(  # noqa: S603 - our own program
        [*RAG, "ingest", ROOT / "examples" / "corpus"], cwd=ROOT, env=environment, check=True
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*RAG, "serve", "--port", str(port)]
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)  # noqa: S603 - same
    try:
        wait_until_ready(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
        print(f"peak memory of the service: {peak_mb(server.pid):.0f} MB")
    finally:
        server.terminate()
        server.wait(30)
    tracebacks = (folder / "serve.log").read_text().count("Traceback")
    print(f"tracebacks in the service's log: {tracebacks}")


def wait_until_ready(url: str) -> None:
    """Return when the service can answer."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz"):  # noqa: S310 - http alone
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise TimeoutError(f"{url} is not ready")


def peak_mb(process: int) -> float:
    """Return the most memory that a process had; 0 where the system does not tell."""
    status = Path(f"/proc/{process}/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def fuzz(schemathesis: str, url: str, minutes: float, seed: int, events: Path) -> int:
    """Run schemathesis and return its exit code."""
    command = [
        *(schemathesis, "run", f"{url}/openapi.json", "--include-path-regex", ROUTES),
        *("--checks", ",".join(CHECKS), "--mode", "all", "--continue-on-failure"),
        *("--max-time", str(int(minutes * 60)), "--seed", str(seed), "--request-timeout", "60"),
        *("--report-ndjson-path", str(events), "--suppress-health-check", "all", "--warnings", "off"),
    ]
    return subprocess.run(command, check=False).returncode  # noqa: S603 - a program that the user names


def report(events: Path) -> None:
    """Print how often each status came."""
    statuses = Counter(statuses_of(events))
    print(f"{statuses.total()} responses: ", end="")
    print(", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())))


def statuses_of(events: Path) -> Iterator[int]:
    """Yield the status of each response in schemathesis' report."""
    for line in events.read_text(encoding="utf-8").splitlines():
        yield from _find(json.loads(line))


def _find(value: object) -> Iterator[int]:
    if isinstance(value, dict):
        status = value.get("status_code")
        if isinstance(status, int):
            yield status
        for item in value.values():
            yield from _find(item)
    elif isinstance(value, list):
        for item in value:
            yield from _find(item)


def main() -> None:
    """Fuzz and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schemathesis", default="schemathesis", help="the program")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--url", help="a service that runs already")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        events = folder / "events.ndjson"
        options = (arguments.minutes, arguments.seed, events)
        if arguments.url:
            code = fuzz(arguments.schemathesis, arguments.url.rstrip("/"), *options)
        else:
            with small_service(folder) as url:
                code = fuzz(arguments.schemathesis, url, *options)
        report(events)
    sys.exit(code)


if __name__ == "__main__":
    main()
