"""From error to response: problem documents, OpenAI's error object, request ids, limits."""

import errno
import inspect
import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel

from corpus import errors
from rag_service.api.errors import (
    KINDS,
    PROBLEM_MEDIA_TYPE,
    add_error_handlers,
    invalid_fields,
    kind_named,
    problem_of,
)
from rag_service.api.middleware import BodyLimit, RequestRecord
from rag_service.metrics import Levels, Metrics

LIMIT = 1000


class Body(BaseModel):
    """A body with one number."""

    number: int


@pytest.fixture
def metrics() -> Metrics:
    """Metrics without models."""
    return Metrics(lambda: Levels(0, {}))


@pytest.fixture
def client(metrics: Metrics) -> Iterator[TestClient]:
    """A small application inside the real error handling."""
    app = FastAPI()
    add_error_handlers(app)
    app.add_middleware(BodyLimit, json_bytes=LIMIT, upload_bytes=10 * LIMIT)
    app.add_middleware(RequestRecord, metrics=metrics)

    @app.get("/fail/{name}")
    def fail(name: str) -> None:
        error = getattr(errors, name)
        raise error("What is wrong. What to do.")

    @app.get("/system/{code}")
    def system(code: int) -> None:
        raise OSError(code, "secret detail", "/data/originals")

    @app.get("/bug")
    def bug() -> None:
        raise ZeroDivisionError("secret detail")

    @app.post("/numbers")
    @app.post("/v1/embeddings")
    @app.post("/v1/documents")
    async def numbers(body: Body) -> int:
        return body.number

    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.mark.parametrize(
    ("name", "status", "slug"),
    [
        ("CollectionNotFound", 404, "collection-not-found"),
        ("CollectionExists", 409, "collection-exists"),
        ("EmbedderMismatch", 409, "embedder-mismatch"),
        ("TooLarge", 413, "too-large"),
        ("UnsupportedMediaType", 415, "unsupported-media-type"),
        ("InvalidFilter", 422, "invalid-filter"),
        ("DamagedDocument", 422, "unreadable-document"),
        ("QueueFull", 429, "queue-full"),
        ("NotReady", 503, "not-ready"),
        ("ModelHashMismatch", 503, "model-unavailable"),
    ],
)
def test_errors_become_problem_documents(client: TestClient, name: str, status: int, slug: str) -> None:
    """An error of ours has the status of the table, and its sentence as the detail."""
    response = client.get(f"/fail/{name}")
    body = response.json()
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM_MEDIA_TYPE)
    assert (body["status"], body["type"]) == (status, f"/problems/{slug}")
    assert body["detail"] == "What is wrong. What to do."
    assert body["title"]
    assert ("retry-after" in response.headers) == (status in (429, 503))


@pytest.mark.parametrize(
    ("error", "field"),
    [
        (errors.InvalidRequest("name: has a slash; choose another."), "name"),
        (errors.InvalidFilter("filters.filters[1].value: must be a text."), "filters.filters.1.value"),
        (errors.InvalidCursor("cursor: not one of ours."), "cursor"),
        (errors.InvalidRequest("There is no question: write one."), None),
        (errors.NotReady("embedder: is loading"), None),
    ],
)
def test_a_field_that_a_message_begins_with_is_listed(error: errors.CorpusError, field: str | None) -> None:
    """What is found behind the schemas is told like what they find: as a field with its reason."""
    found = problem_of(error).errors
    assert [each.field for each in found] == ([field] if field else [])
    assert all(str(error).endswith(each.detail) for each in found)


def test_table_has_every_error_that_a_request_can_raise() -> None:
    """Only settings, and training records, are no matter of a request."""
    tree = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    kinds = [kind for kind in tree if issubclass(kind, errors.CorpusError)]
    unknown = {kind.__name__ for kind in kinds if problem_of(kind("x")).kind.status == 500}
    assert unknown <= {"CorpusError", "SettingsError"}


def test_kinds_have_one_meaning_each() -> None:
    """A slug names one kind of problem, and is found by it."""
    assert all(kind_named(kind.slug) == kind for kind in KINDS.values())
    assert kind_named("no-such-kind") is None


def test_bug_tells_nothing_of_the_inside(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is a 500 whose body has the request id and no word of the error; the log has it."""
    response = client.get("/bug", headers={"X-Request-ID": "req-7"})
    assert response.status_code == 500
    assert "req-7" in response.json()["detail"]
    assert "secret" not in response.text
    assert "ZeroDivisionError" in caplog.text


def test_a_full_disk_is_told_and_other_faults_of_the_system_are_not(client: TestClient) -> None:
    """Its keeper can mend the one; paths of the machine are nobody's business."""
    full, other = client.get(f"/system/{errno.ENOSPC}"), client.get(f"/system/{errno.EIO}")
    assert (full.status_code, full.json()["type"]) == (503, "/problems/disk-full")
    assert "retry-after" in full.headers
    assert (other.status_code, other.json()["type"]) == (500, "/problems/internal-error")
    assert not any(secret in each.text for secret in ("secret", "/data") for each in (full, other))


def test_field_errors_are_listed(client: TestClient) -> None:
    """A field that does not fit is named by its path."""
    response = client.post("/numbers", json={"number": "x"})
    assert response.status_code == 422
    assert [(item["field"], item["code"]) for item in response.json()["errors"]] == [
        ("number", "int_parsing")
    ]


def test_types_in_field_paths_are_left_out() -> None:
    """Where several types are possible, a sender sees the field and not how we check it."""
    found = [
        {
            "loc": ("body", "metadata", "function-after[check()]"),
            "msg": "x",
            "type": "value_error",
        },
        {"loc": ("body", "metadata", "none"), "msg": "Input should be None", "type": "none_required"},
    ]
    problem = invalid_fields(found)
    assert [(field.field, field.detail) for field in problem.errors] == [("metadata", "x")]


@pytest.mark.parametrize("body", [b"{", b"", b"\xff", b"[" * 100_000])
def test_broken_json_is_a_client_error(client: TestClient, body: bytes) -> None:
    """What is no JSON gets a 4xx problem document, however it is broken."""
    response = client.post("/v1/documents", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 413, 422)
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


def test_unknown_route_and_method_are_problems(client: TestClient) -> None:
    """404 and 405 of the framework have the same form as ours; 405 names what is allowed."""
    assert client.get("/nothing").json()["type"] == "/problems/no-such-route"
    response = client.get("/numbers")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")
    assert response.headers["content-type"] == PROBLEM_MEDIA_TYPE


def test_openai_routes_answer_with_openai_errors(client: TestClient) -> None:
    """Their clients get `error` with message, type, param and code."""
    error = client.post("/v1/embeddings", json={}).json()["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error",
        "number",
        "invalid_request",
    )
    assert client.get("/v1/models/no").json()["error"]["code"] == "no_such_route"


@pytest.mark.parametrize("length_is_told", [True, False])
def test_large_body_is_refused(client: TestClient, *, length_is_told: bool) -> None:
    """A body above the limit gets 413, whether its length was told or found out on the way."""
    parts = [b'{"number": 1, "padding": "', b"x" * LIMIT, b'"}']
    content = b"".join(parts) if length_is_told else iter(parts)
    response = client.post("/numbers", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert response.json()["type"] == "/problems/too-large"


def test_uploads_may_be_larger(client: TestClient) -> None:
    """The routes of documents have a limit of their own."""
    body = b'{"number": 1, "padding": "' + b"x" * LIMIT + b'"}'
    response = client.post("/v1/documents", content=body, headers={"Content-Type": "application/json"})
    assert response.json() == 1


def test_request_id_is_echoed_or_made(client: TestClient) -> None:
    """A sane id comes back; another one would break headers or log lines, and is replaced."""
    assert client.get("/nothing", headers={"X-Request-ID": "abc-123"}).headers["x-request-id"] == "abc-123"
    made = client.get("/nothing", headers={"X-Request-ID": "a b;" * 99}).headers["x-request-id"]
    assert len(made) == 32
    assert client.get("/nothing").headers["x-request-id"] != made


def test_requests_are_logged_and_counted_by_route(
    client: TestClient, metrics: Metrics, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has the path, the metrics the route's template, so that ids make no new series."""
    caplog.set_level(logging.INFO, "rag_service.access")
    client.get("/fail/NotFound")
    assert "GET /fail/NotFound 404" in caplog.text
    text = metrics.text().decode()
    assert 'rag_http_requests_total{method="GET",route="/fail/{name}",status="404"} 1.0' in text
