"""`/v1/admin/evaluations`: the service judged by questions, through its own search and answers."""

import json
import time
from collections.abc import Callable, Sequence
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from corpus.errors import PromptTooLong
from corpus.models import Trace
from corpus.settings import Settings
from rag_service.answering.conversation import Message, Part
from rag_service.api.schemas.evaluations import MOST_ANSWERS, MOST_SEARCHES
from rag_service.app import Models
from rag_service.auth import create_key
from rag_service.threads import AnswerThreads
from tests.fakes import FakeChatModel, FakeEmbedder, Said, quote_first_sentence
from tests.integration.api.clients import (
    PATIENCE_S,
    assert_problem,
    listening_service,
    new_collection,
    running_service,
    service_of,
    upload,
)

KOVACS = "Orson Kovacs keeps the two diesel generators of the Vostrel station."
CAFE = "The café of Ilse Brandt opens at 06:30 in the morning."
QUESTION = "Who keeps the diesel generators of the Vostrel station?"
ROUTE = "/v1/admin/evaluations"
EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "questions.jsonl"


def evaluate(client: TestClient, **body: object) -> Any:  # noqa: ANN401 - JSON
    """Evaluate, and return what comes of it."""
    response = client.post(ROUTE, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def measure(report: Any, name: str, search: str | None = None) -> Any:  # noqa: ANN401 - JSON
    """Return one measure of a report."""
    (found,) = [each for each in report["measures"] if (each["name"], each["search"]) == (name, search)]
    return found


def answers_kept(client: TestClient) -> int:
    """Return how many answers have left a trace."""
    with service_of(client).database.read() as session:
        return session.scalar(select(func.count()).select_from(Trace)) or 0


def crew(client: TestClient) -> tuple[str, str]:
    """Make a collection of two documents; return its name, and the id of the one without an external id."""
    collection = new_collection(client)
    upload(client, KOVACS, collection=collection, external_id="crew")
    return collection, upload(client, CAFE, collection=collection)["id"]


def test_search_is_judged_each_way(client: TestClient) -> None:
    """Documents go by external id or by id; every way has its measures, and every question what was found."""
    collection, cafe = crew(client)
    questions = [
        {"question": QUESTION, "documents": ["crew"]},
        {"question": "When does the café of Ilse Brandt open?", "documents": [cafe, "lost"]},
    ]
    report = evaluate(client, kind="retrieval", collection=collection, questions=questions)
    assert (report["kind"], report["collection"]) == ("retrieval", collection)
    assert {each["search"] for each in report["measures"]} == {"hybrid", "dense", "lexical"}
    recall = measure(report, "recall@10", "hybrid")
    assert (recall["value"], recall["items"]) == (0.75, 2)
    assert 0.5 == recall["low"] <= recall["value"] <= recall["high"] == 1.0
    assert measure(report, "MRR@10", "lexical")["value"] == 1.0
    first, second = report["questions"]
    assert (first["missing"], second["missing"]) == ([], ["lost"])
    for ranking in first["rankings"]:
        assert (ranking["rank"], ranking["right"]) == (1, True)
        assert (ranking["found"][0]["external_id"], ranking["found"][0]["right"]) == ("crew", True)
    assert second["rankings"][0]["found"][0]["document_id"] == cafe


def test_a_document_that_is_not_found_is_no_match(client: TestClient) -> None:
    """A question whose documents are elsewhere counts as wrong, in every measure."""
    collection, _ = crew(client)
    questions = [{"question": QUESTION, "documents": ["elsewhere"]}]
    report = evaluate(client, kind="retrieval", collection=collection, questions=questions)
    assert {each["value"] for each in report["measures"]} == {0.0}
    assert [each["rank"] for each in report["questions"][0]["rankings"]] == [None] * 3


def test_answers_are_judged(client: TestClient) -> None:
    """Right answers, refusals and citations are told apart, each with its question; no trace is left."""
    collection, cafe = crew(client)
    before = answers_kept(client)
    questions = [
        {
            "id": "q1",
            "question": QUESTION,
            "answers": ["Orson Kovacs"],
            "gold_documents": ["crew"],
            "gold_quotes": [KOVACS],
        },
        {
            "messages": [
                {"role": "user", "content": "Is there a café?"},
                {"role": "assistant", "content": "Yes."},
                {"role": "user", "content": "When does the café of Ilse Brandt open in the morning?"},
            ],
            "answers": ["at noon"],
            "gold_documents": [cafe],
            "gold_quotes": [CAFE],
        },
        {"question": "Zzyzx?", "answerable": False, "gold_documents": ["lost"], "gold_quotes": ["Nothing."]},
    ]
    report = evaluate(client, kind="answers", collection=collection, questions=questions)
    assert answers_kept(client) == before
    assert (report["kind"], report["model"]) == ("answers", "fake-chat")
    assert [each["id"] for each in report["questions"]] == ["q1", "2", "3"]
    assert [each["right"] for each in report["questions"]] == [True, False, True]
    assert [each["status"] for each in report["questions"]] == ["answered", "answered", "refused"]
    assert report["questions"][2]["missing"] == ["lost"]
    assert [each["document"] for each in report["questions"][1]["citations"]] == [cafe]
    contains = measure(report, "contains gold")
    assert (contains["value"], contains["low"], contains["high"], contains["items"]) == (0.5, 0.0, 1.0, 2)
    assert measure(report, "evidence recall")["value"] == 1.0
    assert measure(report, "refusal recall")["items"] == 1


def test_the_lines_of_a_set_are_taken_as_they_are(client: TestClient) -> None:
    """What `rag eval answers` reads from a file can be sent."""
    questions = [json.loads(line) for line in EXAMPLES.read_text().splitlines()][46:50]
    report = evaluate(client, kind="answers", collection=new_collection(client), questions=questions)
    assert [each["id"] for each in report["questions"]] == [each["id"] for each in questions]
    assert measure(report, "over-refusal")["value"] == 1.0


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "both", "questions": []}, "kind"),
        ({"kind": "retrieval"}, "questions"),
        ({"kind": "retrieval", "questions": []}, "questions"),
        ({"kind": "retrieval", "questions": [{"question": "x"}]}, "questions.0.documents"),
        ({"kind": "retrieval", "questions": [{"question": " ", "documents": ["x"]}]}, "questions.0.question"),
        ({"kind": "retrieval", "questions": [{"question": "x", "documents": []}]}, "questions.0.documents"),
        ({"kind": "answers", "questions": [{"answers": ["x"]}]}, "questions.0"),
        ({"kind": "answers", "questions": [{"question": "<|im_end|>"}]}, "questions.0"),
        ({"kind": "answers", "questions": [{"question": "x", "answerable": True}]}, "questions.0"),
        ({"kind": "answers", "questions": [{"question": "x", "gold_documents": ["x"]}]}, "questions.0"),
        ({"kind": "answers", "questions": [{"question": "x", "documents": ["x"]}]}, "questions.0.documents"),
        ({"kind": "answers", "questions": [{"question": "x"}], "max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_does_not_fit_is_told_by_its_field(client: TestClient, body: Any, field: str) -> None:  # noqa: ANN401 - JSON
    """A body that does not fit is a 422 that names the field as its sender sees it."""
    problem = assert_problem(client.post(ROUTE, json=body), 422)
    assert field in [each["field"] for each in problem["errors"]]


@pytest.mark.parametrize("body", [[], "x", None, 7])
def test_a_body_that_is_no_object_is_refused(client: TestClient, body: object) -> None:
    """So is one of another shape."""
    assert_problem(client.post(ROUTE, json=body), 422)


@pytest.mark.parametrize(
    ("kind", "limit", "question", "command"),
    [
        ("retrieval", MOST_SEARCHES, {"question": "x", "documents": ["x"]}, "rag eval retrieval --set"),
        ("answers", MOST_ANSWERS, {"question": "x"}, "rag eval answers --set"),
    ],
)
def test_too_many_questions_have_a_place_elsewhere(
    client: TestClient, kind: str, limit: int, question: object, command: str
) -> None:
    """Above the limit of one request, the problem names the command that takes more."""
    body = {"kind": kind, "questions": [question] * (limit + 1)}
    (found,) = assert_problem(client.post(ROUTE, json=body), 422)["errors"]
    assert found["field"] == "questions"
    assert command in found["detail"]


def test_an_unknown_collection_is_not_found(client: TestClient) -> None:
    """Either kind says that there is no such collection."""
    for kind, more in (("retrieval", {"documents": ["x"]}), ("answers", {})):
        body = {"kind": kind, "collection": "no-such", "questions": [{"question": "x", **more}]}
        assert_problem(client.post(ROUTE, json=body), 404, "collection-not-found")


def test_a_question_that_is_too_long_is_named(data_dir: Path) -> None:
    """What does not fit the chat model is a 422 with the question's id."""

    def too_long(_messages: Sequence[Message], _parts: Sequence[Part]) -> Said:
        raise PromptTooLong("The conversation has 9 tokens; the model reads 8.")

    models = Models(FakeEmbedder, lambda: FakeChatModel(too_long))
    with running_service(Settings(data_dir=data_dir), models) as client:
        upload(client, KOVACS)
        body = {"kind": "answers", "questions": [{"id": "q7", "question": QUESTION}]}
        problem = assert_problem(client.post(ROUTE, json=body), 422, "prompt-too-long")
        assert "'q7'" in problem["detail"]


def test_answers_wait_their_turn_and_a_full_queue_is_told(data_dir: Path) -> None:
    """An evaluation takes one place among the waiting answers, and gives it back."""
    with running_service(Settings(data_dir=data_dir)) as client:
        threads = service_of(client).threads
        body = {"kind": "answers", "questions": [{"question": QUESTION}] * 3}
        threads.answer = AnswerThreads(1, 0)
        assert client.post(ROUTE, json=body).status_code == 200
        assert client.post(ROUTE, json=body).status_code == 200
        threads.answer = AnswerThreads(0, 0)
        assert_problem(client.post(ROUTE, json=body), 429, "queue-full")


def test_a_reader_that_leaves_ends_the_evaluation(data_dir: Path) -> None:
    """Others get their answers in between; without a reader the model stops in the middle of an answer."""
    chat_model = FakeChatModel(quote_first_sentence, pause_s=0.02)
    models = Models(FakeEmbedder, lambda: chat_model)
    with listening_service(Settings(data_dir=data_dir), models) as (address, service):
        service.threads.answer = AnswerThreads(1, 1)
        with httpx2.Client(base_url=address, timeout=PATIENCE_S) as client:
            document = client.post("/v1/documents", json={"text": KOVACS}).json()["document"]
            path = f"/v1/documents/{document['id']}"
            wait_until(lambda: client.get(path).json()["status"] == "ready")
            evaluation = begin(address, {"question": QUESTION}, MOST_ANSWERS)
            wait_until(lambda: chat_model.running == 1)
            answer = client.post("/v1/answers", json={"question": QUESTION}).json()
            assert answer["status"] == "answered"
        wait_until(lambda: chat_model.running == 1)
        evaluation.close()
        wait_until(lambda: chat_model.running == 0)
        said = chat_model.said
        assert said < MOST_ANSWERS * 5  # each answer has more pieces
        time.sleep(0.3)
        assert chat_model.said == said


def test_only_administrators_may_evaluate(data_dir: Path) -> None:
    """A key that may ask questions may not have a hundred of them asked at once."""
    with running_service(Settings(data_dir=data_dir, require_keys=True)) as client:
        with service_of(client).database.write() as session:
            key = create_key(session, name="reader", scopes={"query"}).secret
        body = {"kind": "answers", "questions": [{"question": QUESTION}]}
        response = client.post(ROUTE, json=body, headers={"Authorization": f"Bearer {key}"})
        assert_problem(response, 403, "wrong-scope")


def begin(address: str, question: object, times: int) -> HTTPConnection:
    """Ask for an evaluation, and do not wait for it."""
    connection = HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE_S)
    body = json.dumps({"kind": "answers", "questions": [question] * times})
    connection.request("POST", ROUTE, body, {"Content-Type": "application/json"})
    return connection


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
