"""`/v1/documents` over the whole service."""

import json
import time
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from corpus.models import DocumentVersion
from corpus.settings import Settings
from indexer.uploads import LARGEST_METADATA
from tests.integration.api.clients import (
    PATIENCE_S,
    assert_problem,
    new_collection,
    running_service,
    service_of,
    upload,
    when_over,
    when_read,
)

TEXT = "Orson Kovacs keeps the generators.\n\nThe café \u2013 run by Ilse Brandt \u2013 opens at 06:30."


def test_text_becomes_a_document(client: TestClient) -> None:
    """A text sent as JSON is accepted with a job, and ready soon, with all that was said about it."""
    collection = new_collection(client)
    fields = {"title": "Handbook", "external_id": "h1", "metadata": {"year": 2024}, "collection": collection}
    response = client.post("/v1/documents", json={"text": TEXT, **fields})
    assert response.status_code == 202
    accepted = response.json()
    assert accepted["duplicate_of"] is None
    assert when_over(client, accepted["job"]["id"])["counts"]["done"] == 1
    document = when_read(client, accepted["document"]["id"])
    assert document | fields == document
    assert (document["status"], document["version"], document["error"]) == ("ready", 1, None)
    assert document["chunk_count"] >= 1


def test_content_and_chunks_are_exact(client: TestClient) -> None:
    """The content is the text character by character, and each chunk is a span of it."""
    document = upload(client, TEXT * 20, collection=new_collection(client))
    content = client.get(f"/v1/documents/{document['id']}/content")
    assert content.headers["content-type"] == "text/plain; charset=utf-8"
    assert content.text == TEXT * 20
    chunks, cursor = [], None
    while True:
        params = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = client.get(f"/v1/documents/{document['id']}/chunks", params=params).json()
        chunks += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(chunks) == document["chunk_count"] > 3
    assert [chunk["position"] for chunk in chunks] == list(range(len(chunks)))
    assert all(content.text[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in chunks)
    assert all(chunk["id"].startswith("chk_") for chunk in chunks)


def test_json_may_begin_with_a_byte_order_mark(client: TestClient) -> None:
    """Some editors and shells put one there; it is no part of any text."""
    collection = new_collection(client)
    headers = {"Content-Type": "application/json"}

    def send(method: str, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
        content = BOM_UTF8 + json.dumps(body).encode()
        response = client.request(method, path, content=content, headers=headers)
        assert response.status_code in {200, 202}, response.text
        return response.json()

    made = send("POST", "/v1/documents", {"text": TEXT, "collection": collection})
    path = f"/v1/documents/{when_read(client, made['document']['id'])['id']}"
    assert client.get(f"{path}/content").text == TEXT
    send("PATCH", path, {"external_id": "x"})
    assert send("PUT", path, {"text": "Other words."})["document"]["external_id"] == "x"
    assert send("POST", "/v1/search", {"query": "words", "collections": [collection]})["data"]
    form = {"metadata": '\ufeff{"year": 1}', "collection": collection}
    made = client.post("/v1/documents", data=form, files={"file": ("x.txt", b"Some file.")}).json()
    assert made["document"]["metadata"] == {"year": 1}


def test_what_is_found_by_its_words_alone_can_be_checked(client: TestClient) -> None:
    """While the embedder is busy a new document is found already; its content has what was found."""
    collection = new_collection(client)
    text = "An urgent telegram came.  It says: all is well."
    with service_of(client).worker.get().worker._bench.turns.turn(urgent=False):
        body = {"text": text, "collection": collection}
        document = client.post("/v1/documents", json=body).json()["document"]
        search = {"query": "telegram", "collections": [collection], "search": "lexical"}
        deadline = time.monotonic() + PATIENCE_S
        found: list[Any] = []
        while not found and time.monotonic() < deadline:
            time.sleep(0.02)
            found = client.post("/v1/search", json=search).json()["data"]
        (passage,) = found
        assert client.get(f"/v1/documents/{document['id']}").json()["status"] == "processing"
        content = client.get(f"/v1/documents/{document['id']}/content")
        assert content.status_code == 200, content.text
        assert content.text[passage["start"] : passage["end"]] == passage["text"]


def test_null_is_as_good_as_nothing(client: TestClient) -> None:
    """Programs that write all fields of a record write null for those that it lacks: in JSON and JSONL."""
    nulls = dict.fromkeys(("title", "external_id", "metadata", "collection"))
    document = upload(client, "Words with nothing else.", **nulls)
    assert (document["status"], document["metadata"], document["collection"]) == ("ready", {}, "default")
    line = json.dumps({"text": "Other words with nothing else.", **nulls})
    response = client.post("/v1/ingestion_jobs", content=line, headers={"Content-Type": "application/jsonl"})
    counts = when_over(client, response.json()["id"])["counts"]
    assert (counts["done"], counts["failed"]) == (1, 0)


def test_file_is_uploaded_as_a_form(client: TestClient) -> None:
    """A form takes the file and its fields; metadata is JSON in a text."""
    form = {"title": "Notes", "metadata": json.dumps({"tags": ["a"]}), "collection": new_collection(client)}
    response = client.post(
        "/v1/documents", data=form, files={"file": ("notes.md", b"# Heading\n\nSome words.", "text/markdown")}
    )
    assert response.status_code == 202
    document = when_read(client, response.json()["document"]["id"])
    assert (document["title"], document["metadata"]) == ("Notes", {"tags": ["a"]})
    assert (document["status"], document["media_type"]) == ("ready", "text/markdown")


@pytest.mark.parametrize(
    ("file", "read"),
    [
        (("p.md", b"# Pumps\n\nThey run.", "application/octet-stream"), "# Pumps\n\nThey run."),
        (("p.csv", b"pump,price\nA,3\n", "application/vnd.ms-excel"), "pump: A; price: 3"),
        (("p.txt", "Café fermé.".encode("latin-1"), "text/plain; charset=utf-8"), "Café fermé."),
        (("p", b"<b>Open</b> now", f"text/html; charset={'x' * 300}"), "Open now"),
        (("p", b"Just words.", "x" * 300), "Just words."),
    ],
)
@pytest.mark.parametrize("route", ["documents", "ingestion_jobs"])
def test_clients_word_on_a_file_is_a_hint(
    client: TestClient, route: str, file: tuple[str, bytes, str], read: str
) -> None:
    """Whatever type a client gives for a file of a form, the content decides how it is read."""
    fields = {"collection": new_collection(client)}
    field = "file" if route == "documents" else "files"
    assert client.post(f"/v1/{route}", data=fields, files={field: file}).status_code == 202
    [accepted] = client.get("/v1/documents", params=fields).json()["data"]
    document = when_read(client, accepted["id"])
    assert (document["status"], document["error"]) == ("ready", None)
    assert client.get(f"/v1/documents/{document['id']}/content").text == read


def test_same_again_is_a_duplicate(client: TestClient) -> None:
    """The same bytes in one collection are one document; in another collection another one."""
    collection = new_collection(client)
    document = upload(client, TEXT, collection=collection)
    again = client.post("/v1/documents", json={"text": TEXT, "collection": collection})
    assert (again.status_code, again.json()["duplicate_of"]) == (200, document["id"])
    assert again.json()["job"] is None
    refused = client.post(
        "/v1/documents", json={"text": TEXT, "collection": collection, "on_duplicate": "error"}
    )
    assert_problem(refused, 409, "duplicate-document")
    assert upload(client, TEXT, collection=new_collection(client))["id"] != document["id"]


def test_list_is_paged_and_filtered(client: TestClient) -> None:
    """Pages follow each other without gaps, by collection and status."""
    collection = new_collection(client)
    made = [upload(client, f"Text number {number}.", collection=collection)["id"] for number in range(3)]
    params: dict[str, str | int] = {"collection": collection, "limit": 2}
    first = client.get("/v1/documents", params=params).json()
    second = client.get("/v1/documents", params=params | {"cursor": first["next_cursor"]}).json()
    assert [row["id"] for row in first["data"] + second["data"]] == made
    assert second["next_cursor"] is None
    failed = client.get("/v1/documents", params={"collection": collection, "status": "failed"}).json()
    assert failed["data"] == []


def test_fields_can_be_changed(client: TestClient) -> None:
    """PATCH changes what it names at once, and a new title is searched for after another reading."""
    collection = new_collection(client)
    document = upload(client, TEXT, collection=collection, title="Old", external_id="x")
    other = upload(client, "Another text.", collection=collection, external_id="taken")
    path = f"/v1/documents/{document['id']}"
    changed = client.patch(path, json={"title": "New", "metadata": {"a": 1}}).json()
    assert (changed["title"], changed["metadata"], changed["external_id"]) == ("New", {"a": 1}, "x")
    assert client.patch(path, json={"external_id": None}).json()["external_id"] is None
    assert_problem(client.patch(path, json={"external_id": "taken"}), 409, "duplicate-document")
    for wrong in ({}, {"title": None}, {"unknown": 1}, {"metadata": [1]}):
        assert_problem(client.patch(path, json=wrong), 422)
    with service_of(client).database.read() as session:
        version = select(DocumentVersion.title).where(DocumentVersion.document_id == document["id"])
        assert session.scalar(version) == "New"
    assert client.get(f"/v1/documents/{other['id']}").json()["title"] == other["title"]


def test_new_version_replaces_the_old_one(client: TestClient) -> None:
    """PUT keeps id and external id, and the content is old or new, never neither."""
    document = upload(client, TEXT, collection=new_collection(client), external_id="x", metadata={"a": 1})
    path = f"/v1/documents/{document['id']}"
    response = client.put(path, json={"text": "Entirely new words."})
    assert response.status_code == 202
    assert client.get(f"{path}/content").text in {TEXT, "Entirely new words."}
    replaced = when_read(client, document["id"], version=2)
    assert (replaced["version"], replaced["external_id"], replaced["metadata"]) == (2, "x", {"a": 1})
    assert client.get(f"{path}/content").text == "Entirely new words."


def test_deleted_document_is_gone(client: TestClient) -> None:
    """After DELETE every look at the document is 404, and a second DELETE too."""
    document = upload(client, "Words of a document to be deleted.", collection=new_collection(client))
    path = f"/v1/documents/{document['id']}"
    assert client.delete(path).status_code == 204
    for route in (path, f"{path}/content", f"{path}/chunks"):
        assert_problem(client.get(route), 404, "document-not-found")
    assert_problem(client.delete(path), 404)
    assert_problem(client.patch(path, json={"title": "x"}), 404)
    assert_problem(client.put(path, json={"text": "x"}), 404)
    assert not service_of(client).originals.exists(document["sha256"])


def test_unreadable_file_fails_with_its_reason(client: TestClient) -> None:
    """A broken file is accepted, and says afterwards what is wrong with it; it has no content."""
    response = client.post(
        "/v1/documents",
        files={"file": ("broken.pdf", b"%PDF-1.7\nbroken", "application/pdf")},
        data={"collection": new_collection(client)},
    )
    assert response.status_code == 202
    document = when_read(client, response.json()["document"]["id"])
    assert document["status"] == "failed"
    assert document["error"]
    problem = assert_problem(client.get(f"/v1/documents/{document['id']}/content"), 409)
    assert document["error"] in problem["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_file_of_a_type_that_is_not_read_is_refused(client: TestClient, method: str) -> None:
    """Pictures and programs are 415, with what to do instead; nothing is kept of them."""
    collection = new_collection(client)
    path = "/v1/documents"
    if method == "PUT":
        path += f"/{upload(client, 'Words.', collection=collection)['id']}"
    before = list(service_of(client).originals.hashes())
    for data, advice in ((b"\x89PNG\r\n\x1a\n\0", "Images"), (bytes(range(256)) * 8, "octet-stream")):
        form = {} if method == "PUT" else {"collection": collection}
        response = client.request(method, path, data=form, files={"file": ("a.txt", data, "text/plain")})
        assert advice in assert_problem(response, 415, "unsupported-media-type")["detail"]
    assert len(client.get("/v1/documents", params={"collection": collection}).json()["data"]) == (
        method == "PUT"
    )
    assert list(service_of(client).originals.hashes()) == before


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": "  \n"}, "text"),
        ({"text": 7}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": "x", "unknown": 1}, "unknown"),
        ({"text": "x", "title": "t" * 1001}, "title"),
        ({"text": "x", "external_id": ""}, "external_id"),
        ({"text": "x", "metadata": {"a": "\0"}}, "metadata"),
        ({"text": "x", "metadata": {"a": "x" * 70_000}}, "metadata"),
        ({"text": "x", "metadata": {"a": [[[[[[[[1]]]]]]]]}}, "metadata"),
        ({"text": "x", "on_duplicate": "maybe"}, "on_duplicate"),
    ],
)
def test_fields_that_do_not_fit_are_named(client: TestClient, body: dict[str, object], field: str) -> None:
    """A wrong field is a 422 that names it."""
    problem = assert_problem(client.post("/v1/documents", json=body), 422, "invalid-request")
    assert field in [item["field"] for item in problem["errors"]]


def test_metadata_have_one_limit_on_every_way_in(client: TestClient) -> None:
    """Counted in bytes of UTF-8, and told in the same words: upload, form, replacement, change, lines."""
    collection = new_collection(client)
    path = f"/v1/documents/{upload(client, TEXT, collection=collection)['id']}"
    most = {"a": "é" * ((LARGEST_METADATA - len('{"a": ""}')) // 2)}
    for number, metadata in enumerate((most, {"a": most["a"] + "é"})):
        fields = {"text": f"Text {number}.", "metadata": metadata}
        form = {"metadata": json.dumps(metadata, ensure_ascii=False), "collection": collection}
        file = ("x.txt", f"File {number}.".encode())
        responses = [
            client.post("/v1/documents", json={**fields, "collection": collection}),
            client.post("/v1/documents", data=form, files={"file": file}),
            client.put(path, json={**fields, "text": f"Version {number}."}),
            client.patch(path, json={"metadata": metadata}),
            client.post("/v1/ingestion_jobs", data=form, files=[("files", file)]),
        ]
        line = json.dumps({**fields, "text": f"Line {number}.", "collection": collection})
        headers = {"Content-Type": "application/jsonl"}
        job = client.post("/v1/ingestion_jobs", content=line, headers=headers).json()["id"]
        (item,) = client.get(f"/v1/ingestion_jobs/{job}/items").json()["data"]
        if metadata is most:
            assert [response.status_code for response in responses] == [202, 202, 202, 200, 202]
            assert item["status"] != "failed"
        else:
            details = {assert_problem(each, 422, "invalid-request")["detail"] for each in responses}
            assert details == {item["error"].removesuffix(".")}
            assert "at most 65,536 bytes" in item["error"]


def test_wrong_forms_are_refused(client: TestClient) -> None:
    """No file, an empty file, a file under another name, an unknown or wrong field: each is told."""
    file = {"file": ("a.txt", b"words", "text/plain")}
    cases = [
        ({"data": {"title": "x"}, "files": {}}, 415),
        ({"data": {"title": "x"}, "files": {"other": ("a.txt", b"x")}}, 422),
        ({"data": {"unknown": "x"}, "files": file}, 422),
        ({"data": {"metadata": "{"}, "files": file}, 422),
        ({"data": {"metadata": "[1]"}, "files": file}, 422),
        ({"data": {"metadata": '{"a": NaN}'}, "files": file}, 422),
        ({"data": {}, "files": {"file": ("a.txt", b"")}}, 422),
        ({"data": {"collection": "no-such"}, "files": file}, 404),
    ]
    for request, status in cases:
        assert_problem(client.post("/v1/documents", **request), status)  # type: ignore[arg-type] # forms
    boundless = client.post("/v1/documents", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert_problem(boundless, 400)


@pytest.mark.parametrize("path", ["doc_none", "doc_none/content", "x/chunks"])
def test_unknown_document(client: TestClient, path: str) -> None:
    """An id that nobody gave out is 404."""
    assert_problem(client.get(f"/v1/documents/{path}"), 404, "document-not-found")


@pytest.mark.parametrize(
    "query", ["cursor=%FF", "cursor=eHg", "limit=0", "limit=1000", "limit=x", "status=odd"]
)
def test_wrong_pages_are_refused(client: TestClient, query: str) -> None:
    """Cursors of others, and limits out of range, are 422."""
    assert_problem(client.get(f"/v1/documents?{query}"), 422)


def test_full_queue_turns_uploads_away(data_dir: Path) -> None:
    """With no room left, an upload is 429 with a time to come back, and leaves nothing behind.

    The service is not ready then. Bulk jobs, however many documents they have, take nobody's room.
    """

    def unready(client: TestClient) -> set[str]:
        return {item["field"] for item in client.get("/readyz").json().get("errors", [])}

    with running_service(Settings(data_dir=data_dir, queue_size=1)) as client:
        service_of(client).worker.get().stop()
        bulk = "\n".join(json.dumps({"text": f"line {number}"}) for number in range(3))
        headers = {"Content-Type": "application/jsonl"}
        assert client.post("/v1/ingestion_jobs", content=bulk, headers=headers).status_code == 202
        assert "queue" not in unready(client)
        assert client.post("/v1/documents", json={"text": "one"}).status_code == 202
        response = client.post("/v1/documents", json={"text": "two"})
        assert_problem(response, 429, "queue-full")
        assert int(response.headers["retry-after"]) > 0
        assert len(client.get("/v1/documents").json()["data"]) == 3 + 1
        assert_problem(client.get("/readyz"), 503, "not-ready")
        assert "queue" in unready(client)


def test_large_file_is_refused(data_dir: Path) -> None:
    """A file above RAG_MAX_UPLOAD_MB is 413."""
    with running_service(Settings(data_dir=data_dir, max_upload_mb=1)) as client:
        files = {"file": ("big.txt", b"x" * (1024 * 1024 + 1), "text/plain")}
        assert_problem(client.post("/v1/documents", files=files), 413, "too-large")
        assert_problem(client.post("/v1/documents", json={"text": "x" * 2_000_000}), 413, "too-large")
