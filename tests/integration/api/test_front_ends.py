"""What the chat front end Open WebUI sends to an OpenAI-compatible server, and what it needs back."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.integration.api.clients import new_collection, upload

KOVACS = "Orson Kovacs keeps the two diesel generators of the Vostrel station."
QUESTION = "Who keeps the two diesel generators of the Vostrel station?"
HEADERS = {"Authorization": "Bearer sk-unused", "X-OpenWebUI-User-Name": "Ann"}
HISTORY = f"<chat_history>\nUSER: {QUESTION}\nASSISTANT: {KOVACS} [1]\n</chat_history>"
# The front end's own requests besides the chat: one turn of the user, in this frame.
TASKS = {
    "title": 'Write a title of 3 to 5 words.\n### Output:\nJSON format: { "title": "the title" }',
    "tags": 'Write 1 to 3 tags.\n### Output:\nJSON format: { "tags": ["tag1", "tag2"] }',
    "follow_ups": 'Suggest 3 questions.\n### Output:\nJSON format: { "follow_ups": ["Question 1?"] }',
    "queries": 'Decide whether to search.\n### Output:\nJSON format: { "queries": ["query1"] }',
}


@pytest.fixture(scope="module")
def model(client: TestClient) -> str:
    """The model of a collection with one document."""
    collection = new_collection(client)
    upload(client, KOVACS, collection=collection, title="Machines")
    return f"rag:{collection}"


def post(client: TestClient, body: dict[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return the answer, put together from chunks if it was streamed."""
    response = client.post("/v1/chat/completions", json=body, headers=HEADERS)
    assert response.status_code == 200, response.text
    if not body["stream"]:
        return response.json()
    lines = [line.removeprefix("data: ") for line in response.text.split("\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [json.loads(line) for line in lines[:-1]]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    text = "".join(delta.get("content", "") for delta in deltas)
    return chunks[-1] | {"choices": [{"message": {"role": deltas[0]["role"], "content": text}}]}


def test_models_are_listed_as_it_reads_them(client: TestClient, model: str) -> None:
    """It takes `data`, and of each model `id`, `object` and `owned_by`; its key does no harm."""
    listed = client.get("/v1/models", headers=HEADERS).json()
    assert listed["object"] == "list"
    assert model in {each["id"] for each in listed["data"]}
    assert all(each["object"] == "model" and each["owned_by"] for each in listed["data"])


@pytest.mark.parametrize("stream", [True, False])
def test_chat_with_all_its_fields(client: TestClient, model: str, *, stream: bool) -> None:
    """What has no meaning here is let pass, at the top, in messages and in parts; null is nothing."""
    body = {
        "stream": stream,
        "model": model,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant.\nToday is Monday."},
            {"role": "user", "content": "Hello", "timestamp": 1_750_000_000, "files": []},
            {"role": "assistant", "content": "", "done": False, "sources": [{"document": ["x"]}]},
            {"role": "assistant", "content": "Hello!", "output": [], "tool_calls": []},
            {"role": "tool", "tool_call_id": "call_1", "content": "{}"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": QUESTION},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
        ],
        "stream_options": {"include_usage": True},
        "metadata": {"user_id": "u", "chat_id": "c", "task": None, "features": {"memory": False}},
        "features": {"web_search": False, "code_interpreter": False, "image_generation": False},
        "variables": {"{{USER_NAME}}": "Ann", "{{CURRENT_DATE}}": "2026-11-23"},
        "model_item": {"id": model, "name": model, "info": {"meta": {"capabilities": {"vision": True}}}},
        "background_tasks": {"title_generation": True, "tags_generation": True},
        "tool_ids": [],
        "tool_servers": [],
        "filter_ids": [],
        "files": None,
        "params": {},
        "session_id": "s",
        "chat_id": "c",
        "id": "m",
        "user": "ann",
        "temperature": None,
        "max_tokens": None,
        "seed": -1,
        "top_p": 0.9,
        "frequency_penalty": 0,
        "logit_bias": {"100": -100},
        "response_format": {"type": "text"},
        "stop": ["###"],
        "tools": [],
        "tool_choice": "auto",
        "reasoning_effort": "low",
    }
    answer = post(client, body)
    (choice,) = answer["choices"]
    assert choice["message"]["role"] == "assistant"
    assert KOVACS.removesuffix(".") in choice["message"]["content"]
    assert answer["citations"][0]["quote"] == KOVACS
    assert answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("task", TASKS)
def test_its_own_tasks_are_answered_like_questions(client: TestClient, model: str, task: str) -> None:
    """Titles, tags and the like: text of the usual shape; it looks for JSON there and else goes without."""
    prompt = f"### Task:\n{TASKS[task]}\n### Chat History:\n{HISTORY}"
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "stream": False,
        "max_completion_tokens": 1000,
        "metadata": {"task": f"{task}_generation", "chat_id": "c"},
    }
    (choice,) = post(client, body)["choices"]
    assert choice["finish_reason"] == "stop"
    assert isinstance(choice["message"]["content"], str)
    assert choice["message"]["content"]


def test_errors_are_shown_by_their_message(client: TestClient) -> None:
    """It shows `error.message` to the user."""
    body = {"model": "gone", "messages": [{"role": "user", "content": "x"}], "stream": True}
    response = client.post("/v1/chat/completions", json=body, headers=HEADERS)
    assert response.status_code == 404
    assert "gone" in response.json()["error"]["message"]
