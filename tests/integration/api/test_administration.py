"""`/v1/admin` over the whole service: reindex, rollback, consistency."""

import time
from typing import Any

from fastapi.testclient import TestClient

from tests.integration.api.clients import assert_problem, new_collection, service_of, upload

TEXT = "Orson Kovacs keeps the generators. " * 30


def finished(client: TestClient, job_id: str) -> Any:  # noqa: ANN401 - JSON
    """The reindex when its job is over."""
    for _ in range(500):
        reindex = client.get(f"/v1/admin/reindexes/{job_id}").json()
        if reindex["job"]["status"] in {"completed", "failed", "cancelled"}:
            return reindex
        time.sleep(0.02)
    raise TimeoutError(job_id)


def active(client: TestClient, collection: str) -> str:
    """The id of the generation that serves."""
    rows = client.get("/v1/admin/generations", params={"collection": collection}).json()["data"]
    (generation,) = [row["id"] for row in rows if row["state"] == "active"]
    return str(generation)


def state(client: TestClient, collection: str, generation: str) -> str:
    """The state of a generation."""
    rows = client.get("/v1/admin/generations", params={"collection": collection}).json()["data"]
    (found,) = [row["state"] for row in rows if row["id"] == generation]
    return str(found)


def test_reindex_switches_and_rolls_back(client: TestClient) -> None:
    """A new chunking is built beside the old one, serves when ready, and the old one can serve again."""
    collection = new_collection(client)
    document = upload(client, TEXT, collection=collection)
    before = active(client, collection)
    body = {"collection": collection, "embedder": "fake", "chunking": {"max_tokens": 40, "overlap": 0}}
    response = client.post("/v1/admin/reindexes", json=body)
    assert response.status_code == 202, response.text
    reindex = finished(client, response.json()["job"]["id"])
    assert (reindex["job"]["status"], reindex["job"]["error"]) == ("completed", None)
    assert active(client, collection) == reindex["generation"] != before
    assert client.get(f"/v1/collections/{collection}").json()["chunking"]["max_tokens"] == 40
    chunks = client.get(f"/v1/documents/{document['id']}/chunks", params={"limit": 100}).json()["data"]
    assert all(TEXT[chunk["start"] : chunk["end"]] == chunk["text"] for chunk in chunks)
    found = client.post("/v1/search", json={"query": "generators", "collections": [collection]}).json()
    assert found["generation"] == reindex["generation"]
    assert found["data"]
    back = client.post(f"/v1/admin/generations/{before}/activate")
    assert back.json()["state"] == "active"
    assert active(client, collection) == before


def test_manual_reindex_waits_for_its_promotion(client: TestClient) -> None:
    """With `manual` it stops at ready; promoted it serves; cancelled it is thrown away."""
    collection = new_collection(client)
    upload(client, TEXT, collection=collection)
    body = {"collection": collection, "manual": True}
    for action in ("cancel", "promote"):
        job_id = client.post("/v1/admin/reindexes", json=body).json()["job"]["id"]
        generation = finished(client, job_id)["generation"]
        assert active(client, collection) != generation
        assert client.post(f"/v1/admin/reindexes/{job_id}/{action}").status_code == 200
    finished(client, job_id)
    assert active(client, collection) == generation
    assert_problem(client.post(f"/v1/admin/reindexes/{job_id}/cancel"), 409)
    assert job_id in [row["job"]["id"] for row in client.get("/v1/admin/reindexes").json()["data"]]


def test_a_reindex_that_is_cancelled_as_any_job_is_given_up(client: TestClient) -> None:
    """The jobs' own route throws its generation away, too: it is not built on and kept for good."""
    collection = new_collection(client)
    upload(client, TEXT, collection=collection)
    body = {"collection": collection, "chunking": {"max_tokens": 40, "overlap": 0}, "manual": True}
    with service_of(client).worker.get().worker._bench.turns.turn(urgent=False):
        reindex = client.post("/v1/admin/reindexes", json=body).json()
        job = client.post(f"/v1/ingestion_jobs/{reindex['job']['id']}/cancel").json()
        assert job["status"] == "cancelled"
        assert state(client, collection, reindex["generation"]) == "failed"
    job = client.post(f"/v1/ingestion_jobs/{reindex['job']['id']}/cancel").json()
    assert job["status"] == "cancelled"


def test_a_reindex_has_to_find_what_its_evaluation_wants(client: TestClient) -> None:
    """What misses the documents of the questions fails, with its measure as the reason."""
    collection = new_collection(client)
    upload(client, TEXT, collection=collection, external_id="crew")
    for wanted, status in (("lost", "failed"), ("crew", "completed")):
        questions = [{"question": "who keeps the generators", "documents": [wanted]}]
        body = {"collection": collection, "evaluation": {"questions": questions, "least_recall": 1}}
        job_id = client.post("/v1/admin/reindexes", json=body).json()["job"]["id"]
        job = finished(client, job_id)["job"]
        assert (job["status"], (job["error"] or "recall@10")[:9]) == (status, "recall@10")


def test_a_job_that_is_no_reindex_is_none(client: TestClient) -> None:
    """Jobs tell their kind; the routes of reindexes know theirs alone."""
    response = client.post(
        "/v1/documents", json={"text": "Words of an upload.", "collection": new_collection(client)}
    )
    job = response.json()["job"]
    assert job["kind"] == "upload"
    assert_problem(client.get(f"/v1/admin/reindexes/{job['id']}"), 404, "job-not-found")


def test_consistency_check_finds_nothing(client: TestClient) -> None:
    """On a sound service there is nothing to find and nothing to mend."""
    for body in ({"json": {"thorough": True, "repair": True}}, {}):
        report = client.post("/v1/admin/consistency_checks", **body).json()
        assert report == {"findings": [], "jobs": [], "left": []}


def test_a_reindex_without_a_body_is_one_of_the_default_collection(client: TestClient) -> None:
    """It has an id of its own, that of its job, by which the routes know it."""
    before = active(client, "default")
    response = client.post("/v1/admin/reindexes")
    assert response.status_code == 202, response.text
    assert response.json()["id"] == response.json()["job"]["id"]
    reindex = finished(client, response.json()["id"])
    assert active(client, "default") == reindex["generation"] != before


def test_wrong_requests_are_refused(client: TestClient) -> None:
    """Unknown ids are 404, another embedder 409, what is already so a conflict."""
    collection = new_collection(client)
    assert_problem(client.post("/v1/admin/reindexes", json={"embedder": "other"}), 409, "embedder-mismatch")
    unfit = client.post("/v1/admin/reindexes", json={"embedder": "http://"})
    assert assert_problem(unfit, 422)["errors"][0]["field"] == "embedder"
    assert_problem(client.post("/v1/admin/reindexes", json={"collection": "no-such"}), 404)
    assert_problem(client.post("/v1/admin/reindexes", json={"index": "odd"}), 422)
    assert_problem(client.get("/v1/admin/reindexes/job_none"), 404, "job-not-found")
    for action in ("promote", "cancel"):
        assert_problem(client.post(f"/v1/admin/reindexes/job_none/{action}"), 404)
    assert_problem(client.post("/v1/admin/generations/gen_none/activate"), 404, "generation-not-found")
    assert_problem(client.get("/v1/admin/generations?collection=no-such"), 404)
    assert_problem(client.get("/v1/admin/generations?cursor=x"), 422)
    assert client.post(f"/v1/admin/generations/{active(client, collection)}/activate").status_code in {
        200,
        409,
    }
