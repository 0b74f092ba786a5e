"""`/v1/search` over the whole service: real FAISS and tantivy, found and deleted in the same breath."""

import threading
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.api.clients import assert_problem, new_collection, upload

KOVACS = "Orson Kovacs keeps the two diesel generators of the station."
CAFE = "The café of Ilse Brandt opens early in the morning."


@pytest.fixture(scope="module")
def station(client: TestClient) -> str:
    """A collection of two documents with metadata."""
    collection = new_collection(client)
    upload(client, KOVACS, collection=collection, title="Machines", external_id="m", metadata={"year": 2024})
    upload(client, CAFE, collection=collection, title="People", metadata={"year": 2019})
    return collection


def search(client: TestClient, query: str, collection: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
    """Search one collection."""
    response = client.post("/v1/search", json={"query": query, "collections": [collection], **fields})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("mode", ["hybrid", "dense", "lexical"])
def test_best_passage_comes_first(client: TestClient, station: str, mode: str) -> None:
    """Each way of searching finds the right document, with all that the contract promises of a passage."""
    found = search(client, "Who keeps the generators?", station, search=mode, top_k=1)
    assert found["object"] == "list"
    assert found["generation"].startswith("gen_")
    assert set(found["timings_ms"]) == {"embed", "search"}
    (row,) = found["data"]
    assert (row["document_title"], row["external_id"], row["metadata"]) == ("Machines", "m", {"year": 2024})
    assert KOVACS[row["start"] : row["end"]] == row["text"]
    assert row["chunk_id"].startswith("chk_")
    scores = row["scores"]
    assert (scores["dense"] is None) == (mode == "lexical")
    assert (scores["lexical"] is None) == (mode == "dense")


def test_filters_are_exact(client: TestClient, station: str) -> None:
    """A filter lets only its documents pass, and one that fits nothing returns nothing."""
    by_year = {"type": "eq", "key": "year", "value": 2019}
    found = search(client, "Who keeps the generators?", station, filters=by_year)
    assert [row["document_title"] for row in found["data"]] == ["People"]
    nothing = {"type": "and", "filters": [by_year, {"type": "gt", "key": "year", "value": 2020}]}
    assert search(client, "generators", station, filters=nothing)["data"] == []


def test_changed_metadata_counts_at_once(client: TestClient) -> None:
    """After PATCH the next search filters by the new metadata."""
    collection = new_collection(client)
    document = upload(client, KOVACS, collection=collection, metadata={"year": 1})
    client.patch(f"/v1/documents/{document['id']}", json={"metadata": {"year": 2}})
    new = {"type": "eq", "key": "year", "value": 2}
    assert len(search(client, "generators", collection, filters=new)["data"]) == 1


def test_new_title_is_searched_for(client: TestClient) -> None:
    """A title is part of what is searched; a new one is known when the document was read again."""
    collection = new_collection(client)
    document = upload(client, CAFE, collection=collection, title="People")
    client.patch(f"/v1/documents/{document['id']}", json={"title": "Zanzibar"})
    for _ in range(200):
        found = search(client, "Zanzibar", collection, search="lexical")["data"]
        if found:
            break
    assert [row["document_title"] for row in found] == ["Zanzibar"]


def test_new_title_is_embedded(client: TestClient) -> None:
    """The vectors of a renamed document are those of its new title, and it is found all the time."""
    collection = new_collection(client)
    document = upload(client, CAFE, collection=collection, title="People")

    def cosine() -> float:
        (row,) = search(client, "Zanzibar", collection, search="dense")["data"]
        return float(row["scores"]["dense"])

    before = cosine()
    client.patch(f"/v1/documents/{document['id']}", json={"title": "Zanzibar Zanzibar"})
    assert any(cosine() > before + 0.1 for _ in range(200))


def test_deleted_document_is_never_found(client: TestClient) -> None:
    """Others search all the time; a search that begins after DELETE has answered never finds it."""
    collection = new_collection(client)
    deleted: set[str] = set()
    wrong: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            gone = set(deleted)
            found = search(client, "generators", collection, top_k=20)["data"]
            wrong.extend(row["document_id"] for row in found if row["document_id"] in gone)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(8):
        document = upload(client, f"{KOVACS} Number {number}.", collection=collection)
        assert search(client, "generators", collection)["data"]
        assert client.delete(f"/v1/documents/{document['id']}").status_code == 204
        deleted.add(document["id"])
        assert search(client, "generators", collection)["data"] == []
    stop.set()
    reader.join()
    assert wrong == []


@pytest.mark.parametrize(
    ("fields", "status", "slug"),
    [
        ({"query": ""}, 422, "invalid-request"),
        ({"query": "  "}, 422, "invalid-request"),
        ({"query": "x" * 8001}, 422, "invalid-request"),
        ({"query": "x\0"}, 422, "invalid-request"),
        ({"search": "magic"}, 422, "invalid-request"),
        ({"top_k": -1}, 422, "invalid-request"),
        ({"top_k": 101}, 422, "invalid-request"),
        ({"top_k": "8"}, 422, "invalid-request"),
        ({"collections": []}, 422, "invalid-request"),
        ({"unknown": 1}, 422, "invalid-request"),
        ({"filters": {"type": "like", "key": "a", "value": "b"}}, 422, "invalid-filter"),
        ({"filters": {}}, 422, "invalid-filter"),
        ({"filters": [1]}, 422, "invalid-request"),
        ({"collections": ["no-such"]}, 404, "collection-not-found"),
        ({"collections": ["a\0b"]}, 422, "invalid-request"),
    ],
)
def test_wrong_searches_are_refused(
    client: TestClient, fields: dict[str, object], status: int, slug: str
) -> None:
    """What does not fit is told by its kind of problem."""
    assert_problem(client.post("/v1/search", json={"query": "x"} | fields), status, slug)


def test_control_tokens_are_text(client: TestClient, station: str) -> None:
    """Markers of chat templates and of query languages are words like others."""
    for query in ("<|im_start|>system generators", 'generators AND "', "title:x^2 [a TO b]", "🦊 généra"):
        search(client, query, station)
