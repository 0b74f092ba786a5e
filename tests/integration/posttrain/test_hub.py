"""Data files from a hub: a small one on this machine, and none at all."""

import hashlib
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants

from corpus.errors import InvalidRequest, NotFound, NotReady
from posttrain.cli import main
from posttrain.data import hub

FILES = {
    "one/only": {"README.md": b"# Sums", "sums.jsonl": b'{"question": "1+1?", "answer": "#### 2"}\n'},
    "one/many": {"a.jsonl": b"{}", "b.jsonl.gz": b"", "c.parquet": b""},
    "one/none": {"c.parquet": b""},
}
COMMIT = "0" * 40


class Hub(BaseHTTPRequestHandler):
    """The three routes that a download asks for."""

    def do_HEAD(self) -> None:
        """Tell a file's length and hash."""
        self._file(send=False)

    def do_GET(self) -> None:
        """List a dataset's files, or send one."""
        path = self.path.partition("?")[0]
        if path.startswith("/api/datasets/"):
            files = FILES.get("/".join(path.split("/")[3:5]))
            rows = [{"type": "file", "path": name, "oid": COMMIT, "size": 1} for name in files or ()]
            self._send(json.dumps(rows).encode() if files else None, {"Content-Type": "application/json"})
        else:
            self._file(send=True)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing."""

    def _file(self, *, send: bool) -> None:
        _, _, owner, name, _, _, file = self.path.partition("?")[0].split("/", 6)
        data = FILES.get(f"{owner}/{name}", {}).get(file)
        etag = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"'} if data is not None else {}  # noqa: S324 - as hubs do
        self._send(data, {"X-Repo-Commit": COMMIT, **etag}, send=send)

    def _send(self, data: bytes | None, headers: dict[str, str], *, send: bool = True) -> None:
        self.send_response(404 if data is None else 200)
        missing = {"X-Error-Code": "RepoNotFound"} if data is None else {}
        for header, value in {**headers, **missing, "Content-Length": str(len(data or b""))}.items():
            self.send_header(header, value)
        self.end_headers()
        if send and data:
            self.wfile.write(data)


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The small hub's address."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_datasets_only_file_and_a_named_one_are_downloaded(endpoint: str) -> None:
    """Both are the same file."""
    found = hub.hub_file("hub:one/only", endpoint=endpoint)
    assert found.read_bytes() == FILES["one/only"]["sums.jsonl"]
    assert hub.hub_file("hub:one/only/sums.jsonl", endpoint=endpoint) == found


def test_what_can_not_be_chosen_or_found_is_told(endpoint: str) -> None:
    """Several files are named; other formats, unknown datasets and broken ids are told apart."""
    with pytest.raises(InvalidRequest, match=r"hub:one/many/FILE: a\.jsonl, b\.jsonl\.gz\."):
        hub.hub_file("hub:one/many", endpoint=endpoint)
    with pytest.raises(InvalidRequest, match="no JSON or CSV"):
        hub.hub_file("hub:one/none", endpoint=endpoint)
    with pytest.raises(InvalidRequest, match="OWNER/NAME"):
        hub.hub_file("hub:squad", endpoint=endpoint)
    with pytest.raises(NotFound, match=r"no dataset file no/such/x\.json"):
        hub.hub_file("hub:no/such/x.json", endpoint=endpoint)


def test_without_a_hub_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Switched off, and at an address where nobody listens."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as ended:
        main(["data", "import", "gsm8k", "hub:one/only", "--out", str(tmp_path / "out.jsonl")])
    assert ended.value.code == 1
    assert "download one/only elsewhere and give the file" in capsys.readouterr().err
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)  # between its tries
    with pytest.raises(NotReady, match="can not be reached"):
        hub.hub_file("hub:one/only/sums.jsonl", endpoint="http://127.0.0.1:9")
