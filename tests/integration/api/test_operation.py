"""Health, readiness, metrics, problems and API keys over the whole service."""

import threading
from pathlib import Path

from fastapi.testclient import TestClient

from corpus.errors import ModelNotFound
from corpus.settings import Settings
from rag_service.app import Models, create_app
from rag_service.auth import create_key
from tests.fakes import FakeChatModel, FakeEmbedder
from tests.integration.api.clients import assert_problem, running_service, service_of


def test_ready_service_says_what_it_looked_at(client: TestClient) -> None:
    """With everything there, readiness lists its checks and health answers."""
    assert client.get("/healthz").json()["status"] == "ok"
    assert client.head("/healthz").status_code == client.head("/readyz").status_code == 200
    checks = client.get("/readyz").json()["checks"]
    names = {check["name"] for check in checks}
    assert {"database", "generation", "queue", "embedder", "chat model", "worker"} <= names
    assert all(check["problem"] is None for check in checks)


def test_service_answers_while_models_load(data_dir: Path) -> None:
    """Until then health is fine, readiness tells what is missing, and what needs a model is 503."""
    go_on = threading.Event()

    def load_slowly() -> FakeEmbedder:
        go_on.wait(10)
        return FakeEmbedder()

    app = create_app(Settings(data_dir=data_dir, worker="thread"), Models(load_slowly, FakeChatModel))
    with TestClient(app) as client:
        assert client.get("/healthz").status_code == 200
        response = client.get("/readyz")
        problem = assert_problem(response, 503, "not-ready")
        assert {"embedder", "chat model", "worker"} <= {item["field"] for item in problem["errors"]}
        assert int(response.headers["retry-after"]) > 0
        assert_problem(client.post("/v1/search", json={"query": "x"}), 503, "not-ready")
        assert_problem(client.post("/v1/documents", json={"text": "x"}), 503, "not-ready")
        body = {"model": "fake", "input": "x"}
        assert client.post("/v1/embeddings", json=body).json()["error"]["type"] == "server_error"
        go_on.set()


def test_model_that_fails_to_load_is_told(data_dir: Path) -> None:
    """The service goes on without it, and says why to everybody who needs it."""

    def fail() -> FakeChatModel:
        raise ModelNotFound("There is no package 'x'; install it.")

    app = create_app(Settings(data_dir=data_dir), Models(FakeEmbedder, fail))
    with TestClient(app) as client:
        service_of(client).retriever.wait(10)
        assert client.post("/v1/search", json={"query": "x"}).status_code == 200
        while service_of(client).answerer.state == "loading":
            pass
        problem = assert_problem(client.get("/readyz"), 503)
        assert "There is no package 'x'" in problem["detail"]


def test_metrics_are_prometheus_text(client: TestClient) -> None:
    """Requests, waiting documents and models are there."""
    client.get("/healthz")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    for line in (
        "# TYPE rag_http_requests_total counter",
        "rag_queued_documents 0.0",
        'rag_model_ready{model="embedder"} 1.0',
    ):
        assert line in response.text


def test_tokens_need_a_model_in_this_process(client: TestClient) -> None:
    """A model without a template of ours can not show its tokens."""
    body = {"messages": [{"role": "user", "content": "x"}]}
    assert_problem(client.post("/v1/tokens", json=body), 409)
    assert_problem(client.post("/v1/tokens", json={"messages": []}), 422)


def test_problem_types_are_described(client: TestClient) -> None:
    """The path in a problem's `type` tells what it means."""
    problem = assert_problem(client.get("/v1/documents/doc_none"), 404)
    assert client.get(problem["type"]).text == "404 There is no such document\n"
    assert_problem(client.get("/problems/none-of-ours"), 404)


def test_keys_open_what_their_scopes_say(data_dir: Path) -> None:
    """With keys on: none is 401, the wrong one 403, the right one passes, a revoked one is 401."""
    settings = Settings(data_dir=data_dir, require_keys=True)
    with running_service(settings) as client:
        with service_of(client).database.write() as session:
            admin = create_key(session, name="root", scopes={"admin"}).secret
        refused = client.get("/v1/documents")
        assert_problem(refused, 401, "no-api-key")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert_problem(client.get("/v1/documents", headers=bearer("rag_guess")), 401)
        assert client.get("/v1/models").json()["error"]["code"] == "no_api_key"

        new_key = {"name": "reader", "scopes": ["documents:read"]}
        made = client.post("/v1/admin/api_keys", json=new_key, headers=bearer(admin)).json()
        reader = bearer(made["key"])
        assert client.get("/v1/documents", headers=reader).status_code == 200
        assert_problem(client.post("/v1/documents", json={"text": "x"}, headers=reader), 403, "wrong-scope")
        assert_problem(client.post("/v1/search", json={"query": "x"}, headers=reader), 403)
        assert_problem(client.get("/metrics", headers=reader), 403)
        assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200

        listed = client.get("/v1/admin/api_keys", headers=bearer(admin)).json()["data"]
        assert [key["name"] for key in listed] == ["root", "reader"]
        assert made["key"] not in str(listed)
        client.delete(f"/v1/admin/api_keys/{made['id']}", headers=bearer(admin)).raise_for_status()
        assert_problem(client.get("/v1/documents", headers=reader), 401)
        assert_problem(client.delete("/v1/admin/api_keys/key_none", headers=bearer(admin)), 404)


def test_only_an_admin_cancels_a_reindex(data_dir: Path) -> None:
    """A key that may write documents cancels what it uploads; the index of everybody is not its own."""
    with running_service(Settings(data_dir=data_dir, require_keys=True)) as client:
        with service_of(client).database.write() as session:
            admin = bearer(create_key(session, name="root", scopes={"admin"}).secret)
            writer = bearer(create_key(session, name="writer", scopes={"documents:write"}).secret)
        with service_of(client).worker.get().worker._bench.turns.turn(urgent=False):
            uploaded = client.post("/v1/documents", json={"text": "Ice."}, headers=writer).json()["job"]["id"]
            body = {"collection": "default", "manual": True}
            reindex = client.post("/v1/admin/reindexes", json=body, headers=admin).json()["job"]["id"]
            refused = client.post(f"/v1/ingestion_jobs/{reindex}/cancel", headers=writer)
            assert_problem(refused, 403, "wrong-scope")
            for job_id, caller in ((uploaded, writer), (reindex, admin)):
                cancelled = client.post(f"/v1/ingestion_jobs/{job_id}/cancel", headers=caller)
                assert cancelled.json()["status"] == "cancelled"


def test_rate_limit_turns_away(data_dir: Path) -> None:
    """Above RAG_RATE_LIMIT a caller gets 429 with a time to come back; health stays open."""
    with running_service(Settings(data_dir=data_dir, rate_limit=3)) as client:
        statuses = [client.get("/v1/documents").status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        response = client.get("/v1/documents")
        assert_problem(response, 429, "rate-limited")
        assert 0 < int(response.headers["retry-after"]) <= 20
        assert client.get("/healthz").status_code == 200


def bearer(secret: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {secret}"}
