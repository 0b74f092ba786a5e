"""`/v1/chat/completions` over the whole service, as OpenAI's clients and front ends call it."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from corpus.models import Trace
from rag_service.api.schemas.answers import MAX_MESSAGES
from tests.integration.api.clients import new_collection, service_of, upload

KOVACS = "Orson Kovacs keeps the two diesel generators of the Vostrel station."
QUESTION = "Who keeps the two diesel generators of the Vostrel station?"


@pytest.fixture(scope="module")
def model(client: TestClient) -> str:
    """The model of a collection with one document."""
    collection = new_collection(client)
    upload(client, KOVACS, collection=collection, title="Machines")
    return f"rag:{collection}"


def chat(client: TestClient, model: str, content: object = QUESTION, **fields: object) -> Any:  # noqa: ANN401 - JSON
    """One answer, not streamed."""
    body = {"model": model, "messages": [{"role": "user", "content": content}], **fields}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    return response.json()


def chunks_of(client: TestClient, body: dict[str, object]) -> list[Any]:
    """The chunks of a streamed answer; `[DONE]` is checked and left out."""
    response = client.post("/v1/chat/completions", json=body | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


def test_answer_in_openai_s_shape(client: TestClient, model: str) -> None:
    """Choices, usage, and the citations beside them."""
    answer = chat(client, model)
    assert answer["object"] == "chat.completion"
    assert answer["id"].startswith("chatcmpl-")
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    (citation,) = answer["citations"]
    assert citation["quote"] == KOVACS
    assert f"[{citation['id']}]" in choice["message"]["content"]


def test_stream_says_the_same(client: TestClient, model: str) -> None:
    """The pieces make the whole, checked text; the last chunk has citations, and usage where asked for."""
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    chunks = chunks_of(client, body | {"stream_options": {"include_usage": True}})
    assert {chunk["id"] for chunk in chunks} == {chunks[0]["id"]}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    text = "".join(each["delta"].get("content", "") for chunk in chunks for each in chunk["choices"])
    whole = chat(client, model)
    assert text == whole["choices"][0]["message"]["content"]
    assert len(chunks) > 5
    reasons = [each["finish_reason"] for chunk in chunks for each in chunk["choices"]]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
    assert chunks[-1]["citations"] == whole["citations"]
    assert chunks_of(client, body)[-1]["citations"] == whole["citations"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (".", KOVACS.removesuffix(".") + " [1]"),
        ([" station"], "Orson Kovacs keeps the two diesel generators of the Vostrel"),
        (["nothing of it", "sel gen", "Vostrel"], "Orson Kovacs keeps the two die"),
        ("1]", KOVACS.removesuffix(".") + " "),
        (["Orson"], ""),
        (["nothing of it"], KOVACS.removesuffix(".") + " [1]."),
        ([], KOVACS.removesuffix(".") + " [1]."),
        (None, KOVACS.removesuffix(".") + " [1]."),
    ],
)
def test_the_text_ends_before_a_stop(
    client: TestClient, model: str, stop: object, expected: str, *, stream: bool
) -> None:
    """Where that is between two chunks, too; citations stay if their markers do, and none is cut in two."""
    body: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": QUESTION}]}
    if stream:
        chunks = chunks_of(client, body | {"stop": stop})
        deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
        text, last = "".join(delta.get("content", "") for delta in deltas), chunks[-1]
    else:
        last = chat(client, model, stop=stop)
        text = last["choices"][0]["message"]["content"]
    assert text == expected
    assert last["choices"][0]["finish_reason"] == "stop"
    assert [citation["end"] for citation in last["citations"]] == [len(expected)] * ("[1]" in expected)


def test_an_answer_that_is_cut_off_says_so(client: TestClient, model: str) -> None:
    """And one that ends with its last token that it may have does not."""
    used = chat(client, model)["usage"]["completion_tokens"]
    reasons = [
        chat(client, model, max_tokens=most)["choices"][0]["finish_reason"] for most in (used - 1, used)
    ]
    assert reasons == ["length", "stop"]


def test_request_of_a_front_end_is_taken(client: TestClient, model: str) -> None:
    """Fields that we do not know, content in parts, turns of other roles: all as Open WebUI sends them."""
    body: dict[str, object] = {
        "stream": True,
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hello! How can I help?"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": QUESTION},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
        ],
        "features": {"web_search": False},
        "variables": {"{{USER_NAME}}": "Ann"},
        "model_item": {"id": model},
        "session_id": "s",
        "chat_id": "c",
        "id": "m",
        "background_tasks": {"title_generation": True},
        "stream_options": {"include_usage": True},
        "top_p": 0.9,
        "frequency_penalty": 0,
        "logprobs": False,
        "response_format": {"type": "text"},
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "tool_choice": "auto",
    }
    assert chunks_of(client, body)[-1]["citations"]


def test_models_name_the_collection_or_none(client: TestClient) -> None:
    """`rag` looks in the default collection, `closed-book` nowhere."""
    upload(client, KOVACS)
    assert chat(client, "rag")["citations"]
    closed = chat(client, "closed-book")
    assert closed["citations"] == []
    assert QUESTION in closed["choices"][0]["message"]["content"]


def test_a_long_chat_goes_on_without_its_oldest_turns(client: TestClient, model: str) -> None:
    """Clients send all of it each time; what the system said stays, however old."""
    turns = [
        {"role": role, "content": f"{role} {number}"}
        for number in range(MAX_MESSAGES)
        for role in ("user", "assistant")
    ]
    opening = {"role": "system", "content": "Be kind."}
    messages = [opening, *turns, {"role": "user", "content": QUESTION}]
    response = client.post("/v1/chat/completions", json={"model": model, "messages": messages})
    assert response.status_code == 200, response.text
    assert response.json()["citations"]
    with service_of(client).database.read() as session:
        trace = session.scalars(select(Trace).order_by(Trace.id.desc())).first()
    assert trace is not None
    kept = trace.record["request"]["messages"]
    assert [kept[0]["role"], len(kept)] == ["system", 1 + MAX_MESSAGES]
    assert QUESTION in str(kept[-1])


def test_refusal_is_told_apart(client: TestClient) -> None:
    """Nothing found: the content says so, and `refusal` has the reason for programs."""
    answer = chat(client, f"rag:{new_collection(client)}")
    assert answer["refusal"] == {"reason": "no_evidence"}
    assert answer["choices"][0]["message"]["content"]
    assert chat(client, "closed-book")["refusal"] is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"model": "no-such"}, 404, "model_not_found"),
        ({"model": "rag:no-such"}, 404, "model_not_found"),
        ({"messages": []}, 422, "invalid_request"),
        ({"messages": [{"role": "user", "content": " "}]}, 422, "invalid_request"),
        ({"messages": [{"role": "user", "content": "<|im_start|>"}]}, 422, "invalid_request"),
        ({"messages": [{"role": "user", "content": "why " * 25_000}]}, 422, "invalid_request"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 422, "invalid_request"),
        ({"temperature": 9}, 422, "invalid_request"),
        ({"max_tokens": 0}, 422, "invalid_request"),
        ({"n": 2}, 422, "invalid_request"),
        ({"stop": ""}, 422, "invalid_request"),
        ({"stop": ["a", ""]}, 422, "invalid_request"),
        ({"stop": ["a", "b", "c", "d", "e"]}, 422, "invalid_request"),
        ({"stop": 7}, 422, "invalid_request"),
        ({"logprobs": True}, 422, "invalid_request"),
        ({"response_format": {"type": "json_object"}}, 422, "invalid_request"),
        ({"tool_choice": "required"}, 422, "invalid_request"),
        ({"function_call": {"name": "f"}}, 422, "invalid_request"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, 422, "invalid_request"),
    ],
)
def test_wrong_requests_have_openai_s_error(
    client: TestClient, body: dict[str, object], status: int, code: str, *, stream: bool
) -> None:
    """Message, type and code, streamed or not."""
    sound = {"model": "rag", "messages": [{"role": "user", "content": "x"}], "stream": stream}
    response = client.post("/v1/chat/completions", json=sound | body)
    assert response.status_code == status
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert error["message"]
    if status == 422 and "messages" not in body:
        assert error["param"].startswith(next(iter(body)))
