"""`/v1/ingestion_jobs` over the whole service."""

import json

from fastapi.testclient import TestClient

from tests.integration.api.clients import assert_problem, new_collection, when_over


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
