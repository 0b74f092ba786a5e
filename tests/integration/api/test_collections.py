"""`/v1/collections` over the whole service."""

from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from tests.integration.api.clients import assert_problem, new_collection, service_of, upload


def test_collection_is_made_and_found(client: TestClient) -> None:
    """It pins the service's embedder and chunking, and is found by name and by id."""
    response = client.post("/v1/collections", json={"name": "Hefte Übersicht", "description": "Notes"})
    assert response.status_code == 201
    made = response.json()
    assert (made["name"], made["description"], made["document_count"]) == ("Hefte Übersicht", "Notes", 0)
    assert made["embedder"].startswith("fake@")
    assert made["chunking"] == {"tokenizer": "fake", "max_tokens": 64, "overlap": 8}
    for key in (made["id"], quote(made["name"])):
        assert client.get(f"/v1/collections/{key}").json() == made


def test_chunking_can_be_chosen(client: TestClient) -> None:
    """Sizes that the embedder can not take are refused, as is more overlap than half a chunk."""
    body = {"name": "small-chunks", "chunking": {"max_tokens": 40, "overlap": 4}}
    assert client.post("/v1/collections", json=body).json()["chunking"]["max_tokens"] == 40
    for chunking in ({"max_tokens": 100}, {"max_tokens": 40, "overlap": 30}, {"max_tokens": 1}, {"x": 1}):
        assert_problem(client.post("/v1/collections", json={"name": "x", "chunking": chunking}), 422)


def test_an_embedder_can_be_named(client: TestClient) -> None:
    """The one that the service has, by name or id as it is listed; another one is a conflict."""
    default = client.get("/v1/collections/default").json()
    for number, embedder in enumerate((default["embedder"], "fake", None)):
        made = client.post("/v1/collections", json={"name": f"named-{number}", "embedder": embedder})
        assert (made.status_code, made.json()["embedder"]) == (201, default["embedder"])
    other = client.post("/v1/collections", json={"name": "of-another", "embedder": "no-such"})
    assert_problem(other, 409, "embedder-mismatch")


def test_name_is_taken_once(client: TestClient) -> None:
    """A second collection of the same name is a conflict."""
    name = new_collection(client)
    assert_problem(client.post("/v1/collections", json={"name": name}), 409, "collection-exists")


@pytest.mark.parametrize("name", ["", " ", "a/b", "col_x", "x" * 201, "a\0b", "a?b", 7, None])
def test_unfit_names_are_refused(client: TestClient, name: object) -> None:
    """Names that would not survive in a URL or a database are 422."""
    assert_problem(client.post("/v1/collections", json={"name": name}), 422)


def test_collections_are_listed_in_pages(client: TestClient) -> None:
    """The default collection is there from the beginning; pages follow each other."""
    new_collection(client)
    names, cursor = [], None
    while True:
        params = {"limit": 1} | ({"cursor": cursor} if cursor else {})
        page = client.get("/v1/collections", params=params).json()
        names += [row["name"] for row in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names[0] == "default"
    assert len(names) == len(set(names)) >= 2


def test_deleted_collection_takes_its_documents_along(client: TestClient) -> None:
    """Its documents, their bytes and its name are gone; the name can be used again."""
    name = new_collection(client)
    document = upload(client, "Words that only this collection has.", collection=name)
    assert client.delete(f"/v1/collections/{name}").status_code == 204
    assert_problem(client.get(f"/v1/documents/{document['id']}"), 404)
    assert_problem(client.get(f"/v1/collections/{name}"), 404, "collection-not-found")
    assert_problem(client.delete(f"/v1/collections/{name}"), 404)
    assert not service_of(client).originals.exists(document["sha256"])
    assert client.post("/v1/collections", json={"name": name}).status_code == 201
