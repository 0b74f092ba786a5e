"""`/v1/ingestion_jobs` over the whole service."""

import importlib
import io
import json
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from corpus.settings import Settings
from tests.integration.api.clients import (
    assert_problem,
    new_collection,
    running_service,
    service_of,
    when_over,
    when_read,
)

SLOW = b"# a\n\nfoo [x](y)\n\n" * 1_000_000  # takes its parser far longer than a test


def test_many_files_are_one_job(client: TestClient) -> None:
    """Each file is an item in the order of the upload; one that fails does not hold up the others."""
    collection = new_collection(client)
    files = [
        ("files", ("one.txt", b"The first file.", "text/plain")),
        ("files", ("empty.txt", b"", "text/plain")),
        ("files", ("two.md", b"# Second\n\nThe second file.", "text/markdown")),
        ("files", ("again.txt", b"The first file.", "text/plain")),
    ]
    response = client.post("/v1/ingestion_jobs", files=files, data={"collection": collection})
    assert response.status_code == 202
    job = when_over(client, response.json()["id"])
    assert job["status"] == "completed"
    counts = {name: job["counts"][name] for name in ("total", "done", "failed", "skipped")}
    assert counts == {"total": 4, "done": 2, "failed": 1, "skipped": 1}
    items = client.get(f"/v1/ingestion_jobs/{job['id']}/items").json()["data"]
    assert [item["status"] for item in items] == ["done", "failed", "done", "skipped"]
    assert items[1]["name"] == "empty.txt"
    assert items[1]["error"]
    failed = client.get(f"/v1/ingestion_jobs/{job['id']}/items", params={"status": "failed"}).json()["data"]
    assert failed == [items[1]]


def test_json_lines_are_one_job(client: TestClient) -> None:
    """Each line is a document with its fields; a line that does not fit is a failed item."""
    collection = new_collection(client)
    lines = [
        {"text": "First record.", "external_id": "r1", "metadata": {"n": 1}, "collection": collection},
        {"title": "without text"},
        {"text": "Second record.", "title": "Second", "collection": collection},
        {"text": "Lost.", "collection": "no-such"},
    ]
    body = "\n".join(json.dumps(line) for line in lines) + "\n\nno json\n"
    headers = {"Content-Type": "application/jsonl"}
    response = client.post("/v1/ingestion_jobs", content=body.encode(), headers=headers)
    assert response.status_code == 202
    job = when_over(client, response.json()["id"])
    assert (job["counts"]["done"], job["counts"]["failed"]) == (2, 3)
    documents = client.get("/v1/documents", params={"collection": collection}).json()["data"]
    assert [(row["external_id"], row["status"]) for row in documents] == [("r1", "ready"), (None, "ready")]
    items = client.get(f"/v1/ingestion_jobs/{job['id']}/items").json()["data"]
    assert "text" in items[1]["error"]


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_an_archive_stands_for_its_members(client: TestClient) -> None:
    """Each is an item under its path; of one that is damaged the rest is told, and other files go on."""
    collection = new_collection(client)
    whole = zipped({"a/one.txt": b"Member one.", "b.md": b"# Member two", "none.txt": b"", ".hidden": b"x"})
    files = [
        ("files", ("all.zip", whole, "application/zip")),
        ("files", ("broken.zip", whole[:40], "application/zip")),
        ("files", ("last.txt", b"The last file.", "text/plain")),
    ]
    fields = {"collection": collection, "metadata": '{"from": "zip"}'}
    response = client.post("/v1/ingestion_jobs", files=files, data=fields)
    assert response.status_code == 202
    job = when_over(client, response.json()["id"])
    items = client.get(f"/v1/ingestion_jobs/{job['id']}/items").json()["data"]
    assert [(item["name"], item["status"]) for item in items] == [
        ("a/one.txt", "done"),
        ("b.md", "done"),
        ("none.txt", "failed"),
        ("broken.zip", "failed"),
        ("last.txt", "done"),
    ]
    documents = client.get("/v1/documents", params={"collection": collection, "status": "ready"}).json()
    assert {row["external_id"] for row in documents["data"]} == {"a/one.txt", "b.md", None}
    assert all(row["metadata"] == {"from": "zip"} for row in documents["data"])


def test_an_archive_that_unpacks_to_too_much_is_one_failure(data_dir: Path) -> None:
    """What comes out of it before the limit stays, it is told by its name, and the files after it go in."""
    members = {f"{number}.txt": (b"%2d " % number) * 300_000 for number in range(30)}
    files = [
        ("files", ("first.txt", b"The first file.")),
        ("files", ("big.zip", zipped(members))),
        ("files", ("last.txt", b"The last file.")),
    ]
    with running_service(Settings(data_dir=data_dir, max_upload_mb=1, worker="none")) as client:
        job = client.post("/v1/ingestion_jobs", files=files).json()
        items = client.get(f"/v1/ingestion_jobs/{job['id']}/items", params={"limit": 100}).json()["data"]
    names = [item["name"] for item in items]
    assert names == ["first.txt", *list(members)[:23], "big.zip", "last.txt"]
    [failed] = [item for item in items if item["status"] == "failed"]
    assert failed["name"] == "big.zip"
    assert "20 MiB" in failed["error"]


def test_a_file_of_json_lines_stands_for_its_lines(client: TestClient) -> None:
    """In the form's collection, unless a line names its own."""
    collection, other = new_collection(client), new_collection(client)
    lines = [{"text": "Here.", "external_id": "h"}, {"text": "There.", "collection": other}]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    response = client.post(
        "/v1/ingestion_jobs", files=[("files", ("r.jsonl", body))], data={"collection": collection}
    )
    assert when_over(client, response.json()["id"])["counts"]["done"] == 2
    for name in (collection, other):
        assert len(client.get("/v1/documents", params={"collection": name}).json()["data"]) == 1


def test_lines_without_metadata_get_that_of_the_form(client: TestClient) -> None:
    """A line's own goes before it, an empty one too."""
    collection = new_collection(client)
    own: dict[str, dict[str, object]] = {"a": {}, "b": {"metadata": {"k": 1}}, "c": {"metadata": {}}}
    lines = [{"text": f"Line {name}.", "external_id": name, **more} for name, more in own.items()]
    body = "\n".join(json.dumps(line) for line in lines).encode()
    fields = {"collection": collection, "metadata": json.dumps({"year": 2024})}
    job = client.post("/v1/ingestion_jobs", files=[("files", ("r.jsonl", body))], data=fields).json()
    when_over(client, job["id"])
    found = client.get("/v1/documents", params={"collection": collection}).json()["data"]
    metadata = {each["external_id"]: each["metadata"] for each in found}
    assert metadata == {"a": {"year": 2024}, "b": {"k": 1}, "c": {}}


def test_a_repeated_request_returns_the_job_of_the_first(client: TestClient) -> None:
    """With an Idempotency-Key; other keys, and none, make new jobs."""
    collection = new_collection(client)
    key = {"Idempotency-Key": f"key of {collection}"}

    def send(text: str, headers: dict[str, str] | None = None) -> str:
        files = [("files", ("x.txt", text.encode()))]
        response = client.post(
            "/v1/ingestion_jobs", files=files, data={"collection": collection}, headers=headers
        )
        assert response.status_code == 202
        return str(response.json()["id"])

    first = send("First text.", key)
    assert send("First text.", key) == first
    assert send("First text.") != first
    assert send("Other text.", {"Idempotency-Key": f"other key of {collection}"}) != first
    when_over(client, first)
    assert send("First text.", key) == first
    empty = {"Idempotency-Key": ""}
    assert send("One text.", empty) != send("Another text.", empty)


def test_a_request_that_broke_off_frees_its_key(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """The repetition takes in what is missing."""
    collection = new_collection(client)
    headers = {"Idempotency-Key": f"broken {collection}"}
    files = [("files", ("x.txt", b"Some text."))]

    def break_off(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr("rag_service.api.bulk.add_to_job", break_off)
        broken = client.post(
            "/v1/ingestion_jobs", files=files, data={"collection": collection}, headers=headers
        )
    assert broken.status_code == 500
    again = client.post("/v1/ingestion_jobs", files=files, data={"collection": collection}, headers=headers)
    assert when_over(client, again.json()["id"])["counts"]["done"] == 1


def upload_and_lose(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, place: str, *, first: bool
) -> tuple[Response, str]:
    """Upload into a collection that is deleted just before or just after that function works."""
    collection = new_collection(client)
    module, _, name = place.rpartition(".")
    work = getattr(importlib.import_module(module), name)

    def lose(*arguments: object, **named: object) -> object:
        if first:
            assert client.delete(f"/v1/collections/{collection}").status_code == 204
        done = work(*arguments, **named)
        if not first:
            assert client.delete(f"/v1/collections/{collection}").status_code == 204
        return done

    with monkeypatch.context() as patched:
        patched.setattr(place, lose)
        files = [("files", ("x.txt", f"Text for {collection}.".encode()))]
        data = {"collection": collection}
        headers = {"Idempotency-Key": f"lost {collection}"}
        response = client.post("/v1/ingestion_jobs", files=files, data=data, headers=headers)
    return response, collection


@pytest.mark.parametrize(
    ("place", "first"),
    [
        ("rag_service.api.bulk.collection_for_upload", False),
        ("rag_service.api.bulk.add_to_job", True),
        ("rag_service.api.bulk.add_to_job", False),
        ("rag_service.api.jobs.take_in_files", False),
    ],
)
def test_a_collection_that_is_deleted_meanwhile_is_not_found(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, place: str, *, first: bool
) -> None:
    """Before the job is made, before and after documents come to it, and after its end: nothing stays."""
    response, collection = upload_and_lose(client, monkeypatch, place, first=first)
    problem = assert_problem(response, 404, "collection-not-found")
    assert "deleted" in problem["detail"]
    originals = service_of(client).originals
    assert sha256(f"Text for {collection}.".encode()).hexdigest() not in set(originals.hashes())


def test_only_failed_items_are_retried(client: TestClient) -> None:
    """They are queued again, the others stay as they are."""
    collection = new_collection(client)
    files = [("files", ("a.txt", b"Good text.")), ("files", ("b.pdf", b"%PDF-1.7 broken"))]
    job_id = client.post("/v1/ingestion_jobs", files=files, data={"collection": collection}).json()["id"]
    assert when_over(client, job_id)["counts"]["failed"] == 1
    retried = client.post(f"/v1/ingestion_jobs/{job_id}/retry").json()
    assert (retried["counts"]["done"], retried["counts"]["failed"]) == (1, 0)
    assert when_over(client, job_id)["counts"]["failed"] == 1
    items = client.get(f"/v1/ingestion_jobs/{job_id}/items").json()["data"]
    assert [item["attempts"] for item in items] == [1, 1]


def test_a_file_is_read_while_a_job_holds_a_parser(data_dir: Path) -> None:
    """Who uploads one file does not wait for what bulk work has to read."""
    with running_service(Settings(data_dir=data_dir)) as client:
        slow = {"files": ("slow.md", SLOW, "text/markdown")}
        job = client.post("/v1/ingestion_jobs", files=slow).json()
        while job["counts"]["in_progress"] == 0:
            job = client.get(f"/v1/ingestion_jobs/{job['id']}").json()
        small = client.post("/v1/documents", files={"file": ("small.md", b"# Small", "text/markdown")})
        assert when_read(client, small.json()["document"]["id"])["status"] == "ready"
        assert client.get(f"/v1/ingestion_jobs/{job['id']}").json()["status"] == "running"


def test_items_are_paged(client: TestClient) -> None:
    """A cursor leads through a job's items."""
    files = [("files", (f"{number}.txt", f"Text {number}".encode(), "text/plain")) for number in range(3)]
    job_id = client.post(
        "/v1/ingestion_jobs", files=files, data={"collection": new_collection(client)}
    ).json()["id"]
    path = f"/v1/ingestion_jobs/{job_id}/items"
    first = client.get(path, params={"limit": 2}).json()
    second = client.get(path, params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [item["position"] for item in first["data"] + second["data"]] == [0, 1, 2]
    assert second["next_cursor"] is None


def test_events_end_with_the_job(client: TestClient) -> None:
    """A watcher sees progress, and `done` as the last event; one who comes late sees that alone."""
    files = [("files", ("a.txt", b"Watched text.", "text/plain"))]
    job_id = client.post(
        "/v1/ingestion_jobs", files=files, data={"collection": new_collection(client)}
    ).json()["id"]
    for _ in range(2):
        with client.stream("GET", f"/v1/ingestion_jobs/{job_id}/events") as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.read().decode().splitlines()
        events = [line.removeprefix("event: ") for line in lines if line.startswith("event: ")]
        assert events[-1] == "done"
        assert set(events[:-1]) <= {"progress"}
    assert events == ["done"]


def test_jobs_are_listed_newest_first(client: TestClient) -> None:
    """The list has every job, the newest on the first page."""
    files = [("files", ("x.txt", b"Listed text.", "text/plain"))]
    job_id = client.post(
        "/v1/ingestion_jobs", files=files, data={"collection": new_collection(client)}
    ).json()["id"]
    when_over(client, job_id)
    page = client.get("/v1/ingestion_jobs", params={"limit": 1}).json()
    assert [job["id"] for job in page["data"]] == [job_id]


def test_cancel_and_retry_of_finished_jobs(client: TestClient) -> None:
    """Cancelling a job that is over changes nothing; there is nothing to retry without failures."""
    files = [("files", ("y.txt", b"Short text.", "text/plain"))]
    job_id = client.post(
        "/v1/ingestion_jobs", files=files, data={"collection": new_collection(client)}
    ).json()["id"]
    when_over(client, job_id)
    assert client.post(f"/v1/ingestion_jobs/{job_id}/cancel").json()["status"] == "completed"
    assert_problem(client.post(f"/v1/ingestion_jobs/{job_id}/retry"), 409)


def test_wrong_requests_are_refused(client: TestClient) -> None:
    """Unknown jobs are 404, foreign cursors 422, other bodies 415, bodies without documents 422."""
    for path in ("", "/items", "/events"):
        assert_problem(client.get(f"/v1/ingestion_jobs/job_none{path}"), 404, "job-not-found")
    for path in ("/cancel", "/retry"):
        assert_problem(client.post(f"/v1/ingestion_jobs/job_none{path}"), 404)
    assert_problem(client.get("/v1/ingestion_jobs/job_none/items?cursor=%FF"), 422, "invalid-cursor")
    assert_problem(client.post("/v1/ingestion_jobs", json={"text": "x"}), 415)
    jsonl = {"Content-Type": "application/jsonl"}
    assert_problem(client.post("/v1/ingestion_jobs", content=b"\n", headers=jsonl), 422)
    files = [("files", ("y.txt", b"Text.", "text/plain"))]
    assert_problem(client.post("/v1/ingestion_jobs", files=files, data={"collection": "no-such"}), 404)
    assert_problem(client.post("/v1/ingestion_jobs", files=files, data={"unknown": "x"}), 422)
