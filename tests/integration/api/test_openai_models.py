"""`/v1/models` and `/v1/embeddings` over the whole service."""

import base64

import numpy as np
import pytest
from fastapi.testclient import TestClient

from tests.fakes import FakeEmbedder
from tests.integration.api.clients import new_collection


def test_models_are_listed(client: TestClient) -> None:
    """There is `rag`, `closed-book`, the embedder, and one for each collection; each can be got alone."""
    collection = new_collection(client)
    models = client.get("/v1/models").json()
    assert models["object"] == "list"
    names = [model["id"] for model in models["data"]]
    assert {"rag", "closed-book", "fake", "rag:default", f"rag:{collection}"} <= set(names)
    for model in models["data"]:
        assert client.get(f"/v1/models/{model['id']}").json() == model


@pytest.mark.parametrize("model", ["no-such", "rag:no-such", "rag:"])
def test_unknown_model(client: TestClient, model: str) -> None:
    """OpenAI's error object with the code that its clients know."""
    response = client.get(f"/v1/models/{model}")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")
    response = client.post("/v1/embeddings", json={"model": model, "input": "x"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


def test_embeddings_are_the_embedder_s(client: TestClient) -> None:
    """One vector a text, in order, as numbers or as base64 of 32-bit floats; unknown fields pass."""
    expected = FakeEmbedder().embed_passages(["one", "two words"])
    body = {"model": "fake", "input": ["one", "two words"], "user": "somebody", "dimensions": 32}
    found = client.post("/v1/embeddings", json=body).json()
    assert [row["index"] for row in found["data"]] == [0, 1]
    np.testing.assert_allclose([row["embedding"] for row in found["data"]], expected, rtol=1e-6)
    assert found["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    packed = client.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()
    numbers = np.frombuffer(base64.b64decode(packed["data"][1]["embedding"]), dtype="<f4")
    np.testing.assert_array_equal(numbers, expected[1])


@pytest.mark.parametrize(
    "body",
    [
        {"input": []},
        {"input": ""},
        {"input": ["x", ""]},
        {"input": [1, 2, 3]},
        {"input": [[1, 2]]},
        {"input": ["x"] * 2049},
        {"input": "x", "dimensions": 7},
        {"input": "x", "encoding_format": "hex"},
        {},
    ],
)
def test_wrong_inputs_are_refused(client: TestClient, body: dict[str, object]) -> None:
    """What can not be embedded is a 4xx in OpenAI's form."""
    response = client.post("/v1/embeddings", json={"model": "fake"} | body)
    assert response.status_code == 422
    assert response.json()["error"]["type"] == "invalid_request_error"
