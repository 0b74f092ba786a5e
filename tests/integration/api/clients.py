"""Starting the service in this process, and what tests ask of it again and again."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import uvicorn
from fastapi.testclient import TestClient
from httpx2 import Response

from corpus.settings import Settings
from rag_service.app import Models, create_app
from rag_service.service import Service
from tests.fakes import FakeChatModel, FakeEmbedder

PATIENCE_S = 20.0


@contextmanager
def running_service(settings: Settings, models: Models | None = None) -> Iterator[TestClient]:
    """Start a service with stand-ins for the models, and wait until its parts are made."""
    app = create_app(_by_itself(settings), models or Models(FakeEmbedder, FakeChatModel))
    with TestClient(app, raise_server_exceptions=False) as client:
        service: Service = app.state.service
        service.answerer.wait(PATIENCE_S)
        yield client


@contextmanager
def listening_service(settings: Settings, models: Models) -> Iterator[tuple[str, Service]]:
    """Start a service on a port of this machine, as `rag serve` does; yield its address and its parts."""
    app = create_app(_by_itself(settings), models)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=5))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        service: Service = app.state.service
        service.answerer.wait(PATIENCE_S)
        while not server.started:
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", service
    finally:
        server.should_exit = True
        thread.join()


def _by_itself(settings: Settings) -> Settings:
    """Let the service read documents in threads of its own: it is no process that could start another."""
    return settings.model_copy(update={"worker": "thread"})


def service_of(client: TestClient) -> Service:
    """Return the parts behind a client."""
    service: Service = client.app.state.service  # type: ignore[attr-defined] # the client types it as any ASGI app
    return service


def new_collection(client: TestClient) -> str:
    """Make a collection and return its name."""
    name = f"test-{uuid4().hex[:8]}"
    assert client.post("/v1/collections", json={"name": name}).status_code == 201
    return name


def upload(client: TestClient, text: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
    """Upload a text and return the document as it is when it has been read."""
    response = client.post("/v1/documents", json={"text": text, **fields})
    assert response.status_code == 202, response.text
    return when_read(client, response.json()["document"]["id"])


def when_read(client: TestClient, document_id: str, version: int = 1) -> Any:  # noqa: ANN401 - JSON
    """Return a document as soon as it is ready or failed, in this version."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        document = client.get(f"/v1/documents/{document_id}").json()
        if document["status"] in {"ready", "failed"} and document["version"] >= version:
            return document
        time.sleep(0.02)
    raise TimeoutError(f"document {document_id} is still {document['status']}")


def when_over(client: TestClient, job_id: str) -> Any:  # noqa: ANN401 - JSON
    """Return a job when it has ended."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        job = client.get(f"/v1/ingestion_jobs/{job_id}").json()
        if job["status"] in {"completed", "failed", "cancelled"}:
            return job
        time.sleep(0.02)
    raise TimeoutError(f"job {job_id} is still {job['status']}")


def assert_problem(response: Response, status: int, slug: str | None = None) -> Mapping[str, Any]:
    """Check that a response is a problem document of this status, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: Mapping[str, Any] = response.json()
    assert {"type", "title", "status", "detail"} <= set(body)
    assert body["status"] == status
    if slug is not None:
        assert body["type"] == f"/problems/{slug}"
    return body
