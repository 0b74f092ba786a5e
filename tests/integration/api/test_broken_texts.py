"""Half a surrogate pair, which JSON can write and no encoding can carry: refused, wherever it stands."""

import json

import pytest
from fastapi.testclient import TestClient

from tests.integration.api.clients import assert_problem, upload

HALF = "a \ud800 b"
USER = {"role": "user", "content": "a"}
TRIAL = {"question": "a", "documents": ["a"]}
UNPROCESSABLE = 422


@pytest.fixture(scope="module", autouse=True)
def _station(client: TestClient) -> None:
    """A document in the default collection: what is not refused gets as far as it can."""
    upload(client, "Orson Kovacs keeps the generators.")


def send(client: TestClient, route: str, body: object) -> int:
    """Send a body as JSON in ASCII, in which half a pair is six characters; return the status."""
    method, path = route.split()
    headers = {"Content-Type": "application/json"}
    return client.request(method, path, content=json.dumps(body), headers=headers).status_code


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("POST /v1/answers", {"question": HALF}),
        ("POST /v1/answers", {"question": HALF, "stream": True}),
        ("POST /v1/answers", {"messages": [{"role": "user", "content": HALF}]}),
        ("POST /v1/answers", {"messages": [{"role": HALF, "content": "a"}]}),
        ("POST /v1/answers", {"question": "a", "collections": [HALF]}),
        ("POST /v1/answers", {"question": "a", "filters": {"type": "eq", "key": HALF, "value": 1}}),
        ("POST /v1/answers", {"question": "a", "filters": {"type": "in", "key": "a", "value": [HALF]}}),
        ("POST /v1/answers", {"question": "a", HALF: 1}),
        ("POST /v1/search", {"query": HALF}),
        ("POST /v1/search", {"query": "a", "collections": [HALF]}),
        ("POST /v1/chat/completions", {"model": "rag", "messages": [{"role": "user", "content": HALF}]}),
        (
            "POST /v1/chat/completions",
            {"model": "rag", "messages": [{"role": "user", "content": [{"type": "text", "text": HALF}]}]},
        ),
        ("POST /v1/chat/completions", {"model": f"rag:{HALF}", "messages": [USER]}),
        ("POST /v1/chat/completions", {"model": "rag:\0", "messages": [USER]}),
        ("POST /v1/embeddings", {"model": "fake", "input": HALF}),
        ("POST /v1/embeddings", {"model": "fake", "input": ["a", HALF]}),
        ("POST /v1/answers/ans_1/feedback", {"rating": "bad", "comment": HALF}),
        ("POST /v1/answers/ans_1/feedback", {"rating": "bad", "correction": HALF}),
        ("POST /v1/tokens", {"messages": [{"role": "user", "content": HALF}]}),
        ("POST /v1/collections", {"name": HALF}),
        ("POST /v1/collections", {"name": "a", "description": HALF}),
        ("PATCH /v1/documents/doc_1", {"title": HALF}),
        ("PATCH /v1/documents/doc_1", {"external_id": HALF}),
        ("PATCH /v1/documents/doc_1", {"metadata": {HALF: 1}}),
        ("PATCH /v1/documents/doc_1", {"metadata": {"a": [{"b": HALF}]}}),
        ("POST /v1/admin/reindexes", {"collection": HALF}),
        ("POST /v1/admin/reindexes", {"embedder": HALF}),
        ("POST /v1/admin/reindexes", {"index": HALF}),
        (
            "POST /v1/admin/reindexes",
            {"evaluation": {"least_recall": 0, "questions": [TRIAL | {"question": HALF}]}},
        ),
        (
            "POST /v1/admin/reindexes",
            {"evaluation": {"least_recall": 0, "questions": [TRIAL | {"documents": [HALF]}]}},
        ),
        ("POST /v1/admin/api_keys", {"name": HALF, "scopes": ["query"]}),
    ],
)
def test_half_a_surrogate_pair_is_a_field_error(client: TestClient, route: str, body: object) -> None:
    """Every text of a request is refused with 422 if it has half a surrogate pair."""
    assert send(client, route, body) == UNPROCESSABLE


@pytest.mark.parametrize("charset", ["unicode_escape", "undefined"])
def test_a_form_in_a_strange_character_set_is_refused(client: TestClient, charset: str) -> None:
    """A character set that makes half a surrogate pair of a name, or decodes nothing, is no fault of ours."""
    field = '--X\r\nContent-Disposition: form-data; name="\\\\ud800"\r\n\r\na\r\n'
    file = '--X\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\na\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary=X; charset={charset}"}
    response = client.post("/v1/documents", content=f"{field}{field}{file}--X--\r\n", headers=headers)
    assert_problem(response, 400 if charset == "undefined" else 422)
