"""The official `openai` client, unchanged, against the service on a port."""

from collections.abc import Iterator

import httpx2
import openai
import pytest

from corpus.settings import Settings
from rag_service.app import Models
from tests.fakes import FakeChatModel, FakeEmbedder
from tests.integration.api.clients import listening_service

KOVACS = "Orson Kovacs keeps the two diesel generators of the Vostrel station."
QUESTION = "Who keeps the two diesel generators of the Vostrel station?"


@pytest.fixture(scope="module")
def openai_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """A client of a service that has one document."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    with listening_service(settings, Models(FakeEmbedder, FakeChatModel)) as (url, service):
        made = httpx2.post(f"{url}/v1/documents", json={"text": KOVACS, "title": "Machines"}).json()
        service.worker.get().worker.wait(made["job"]["id"], timeout_s=20)
        with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
            yield client


def test_models(openai_client: openai.OpenAI) -> None:
    """They can be listed and got."""
    assert {"rag", "closed-book", "rag:default", "fake"} <= {
        model.id for model in openai_client.models.list()
    }
    assert openai_client.models.retrieve("rag:default").id == "rag:default"


def test_chat(openai_client: openai.OpenAI) -> None:
    """An answer, its tokens, and its citations as an extra field."""
    answer = openai_client.chat.completions.create(
        model="rag", messages=[{"role": "user", "content": QUESTION}]
    )
    assert "Orson Kovacs" in (answer.choices[0].message.content or "")
    assert answer.usage is not None
    assert answer.model_extra is not None
    assert answer.model_extra["citations"][0]["quote"] == KOVACS


def test_streamed_chat(openai_client: openai.OpenAI) -> None:
    """The chunks make the answer, and the last one has the citations."""
    chunks = list(
        openai_client.chat.completions.create(
            model="rag", messages=[{"role": "user", "content": QUESTION}], stream=True
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text.startswith(KOVACS.removesuffix("."))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].model_extra is not None
    assert chunks[-1].model_extra["citations"][0]["quote"] == KOVACS


def test_embeddings(openai_client: openai.OpenAI) -> None:
    """The client asks for base64 by itself, and unpacks it."""
    found = openai_client.embeddings.create(model="fake", input=["one", "two"])
    expected = FakeEmbedder().embed_passages(["one", "two"])
    assert found.data[1].embedding == pytest.approx(expected[1].tolist())


def test_errors(openai_client: openai.OpenAI) -> None:
    """They arrive as the client's own classes, with code and parameter."""
    with pytest.raises(openai.NotFoundError) as missing:
        openai_client.chat.completions.create(model="no-such", messages=[{"role": "user", "content": "x"}])
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.UnprocessableEntityError) as wrong:
        openai_client.chat.completions.create(
            model="rag", messages=[{"role": "user", "content": "x"}], temperature=9
        )
    assert wrong.value.param == "temperature"
