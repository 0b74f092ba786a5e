"""`/v1/admin/models`: another chat model answers without a restart."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from corpus.errors import ModelNotFound
from corpus.settings import Settings
from rag_service import answer_models
from rag_service.answering.chat_model import Fingerprint
from rag_service.app import Models
from tests.fakes import FakeChatModel, FakeEmbedder
from tests.integration.api.clients import assert_problem, running_service, service_of, upload

LOADING = threading.Event()  # clear: models take their time


class Answering(FakeChatModel):
    """A stand-in with the name of an adapter's folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(pause_s=0.01)
        self.name = Path(folder).name
        self.fingerprint = Fingerprint("0" * 64, self.name)


def load(folder: str) -> Answering:
    """Load slowly if that is wanted, and not at all what is broken."""
    LOADING.wait(10)
    if "broken" in folder:
        raise ModelNotFound(f"The adapter {folder} lacks adapter_config.json.")
    return Answering(folder)


@pytest.fixture
def served(data_dir: Path) -> Iterator[TestClient]:
    """A service with a document and three published models, the last one broken."""
    LOADING.set()
    models = Models(FakeEmbedder, lambda: Answering("own"), load)
    with running_service(Settings(data_dir=data_dir), models) as client:
        upload(client, "Orson Kovacs keeps the generators.")
        with service_of(client).database.write() as session:
            for name, gold in (("good", 0.9), ("weak", 0.2), ("broken", 0.9)):
                answer_models.register(
                    session,
                    data_dir / name,
                    base_sha256="0" * 64,
                    adapter_sha256=name,
                    evaluation={
                        "contains gold": {"value": gold, "low": gold - 0.1, "high": gold + 0.1, "count": 9}
                    },
                )
        yield client


def answering(served: TestClient) -> str:
    """Ask, and return the name of the model that answered."""
    response = served.post("/v1/answers", json={"question": "Who keeps the generators?"})
    assert response.status_code == 200, response.text
    return str(response.json()["model"])


def activate(served: TestClient, name: str, **body: object) -> str:
    """Activate a model and return the name of the one that answers then."""
    response = served.post(f"/v1/admin/models/{name}/activate", json=body or None)
    assert response.status_code == 200, response.text
    return str(response.json()["model"])


def test_activation_and_rollback_switch_what_answers(served: TestClient) -> None:
    """The model of the settings answers first, then the activated one, then whichever did before."""
    assert answering(served) == "own"
    listed = sorted(served.get("/v1/admin/models").json()["data"], key=lambda row: str(row["name"]))
    assert [(row["name"], row["active"]) for row in listed] == [
        ("broken", False),
        ("good", False),
        ("weak", False),
    ]
    assert activate(served, listed[1]["id"]) == answering(served) == "good"
    back = served.post("/v1/admin/models/rollback").json()
    assert (back["model"], back["active"]) == ("own", None)
    assert answering(served) == "own"
    assert served.post("/v1/admin/models/rollback").json()["model"] == answering(served) == "good"
    rows = served.get("/v1/admin/models").json()["data"]
    assert [row["name"] for row in rows if row["active"]] == ["good"]


def test_a_worse_model_is_refused_unless_forced(served: TestClient) -> None:
    """The gate names the measure; forced, the model answers."""
    activate(served, "good")
    problem = assert_problem(served.post("/v1/admin/models/weak/activate"), 409, "worse-than-active")
    assert "contains gold is 0.20" in problem["detail"]
    assert answering(served) == "good"
    assert activate(served, "weak", force=True) == answering(served) == "weak"


def test_a_model_that_can_not_be_loaded_changes_nothing(served: TestClient) -> None:
    """It is not active afterwards, and the former one goes on."""
    activate(served, "good")
    assert_problem(served.post("/v1/admin/models/broken/activate"), 503, "model-unavailable")
    assert answering(served) == "good"
    assert_problem(served.post("/v1/admin/models/no-such/activate"), 404, "answer-model-not-found")
    assert_problem(served.post("/v1/admin/models/good/activate", json={"forc": True}), 422)


def test_an_answer_that_has_begun_ends_with_its_model(served: TestClient) -> None:
    """Its trace names that model too, though another one answers by then."""
    body = {"question": "Who keeps the generators?", "stream": True}
    with served.stream("POST", "/v1/answers", json=body) as response:
        lines = response.iter_lines()
        next(line for line in lines if line == "event: delta")
        activate(served, "good")
        rest = "\n".join(lines)
    assert '"model":"own"' in rest.replace(": ", ":")
    assert answering(served) == "good"


def test_the_service_follows_what_another_process_activates(served: TestClient) -> None:
    """The former model answers while the new one is loaded; then the new one does."""
    LOADING.clear()
    service = service_of(served)
    with service.database.write() as session:
        answer_models.activate(session, answer_models.find_model(session, "good"))
    assert [answering(served) for _ in range(2)] == ["own", "own"]
    LOADING.set()
    deadline = time.monotonic() + 10
    while answering(served) != "good":
        assert time.monotonic() < deadline
    with service.database.write() as session:
        answer_models.activate(session, answer_models.find_model(session, "broken"))
    assert [answering(served) for _ in range(3)] == ["good"] * 3


def test_a_service_begins_with_the_active_model(data_dir: Path, served: TestClient) -> None:
    """A restart changes nothing; a service whose chat model is on a server leaves the table alone."""
    activate(served, "good")
    with running_service(
        Settings(data_dir=data_dir), Models(FakeEmbedder, lambda: Answering("own"), load)
    ) as again:
        assert answering(again) == "good"
    with running_service(
        Settings(data_dir=data_dir), Models(FakeEmbedder, lambda: Answering("server"))
    ) as remote:
        assert answering(remote) == "server"
        assert_problem(remote.post("/v1/admin/models/good/activate"), 409)
