"""What a collector for OpenTelemetry gets from a service, and what becomes of a service without one."""

import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from corpus.errors import ModelError, SettingsError
from corpus.settings import Settings
from rag_service.answering.conversation import Message, Part
from rag_service.app import Models, create_app
from rag_service.telemetry.collector import Telemetry
from tests.collector import Collector, attributes, milliseconds, running_collector
from tests.fakes import FakeChatModel, FakeEmbedder, Said
from tests.integration.api.clients import running_service, upload, when_read

OTHER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER_SPAN = "00f067aa0ba902b7"
SECRETS = ("Vibble", "quorn", "plover")


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Yield a collector that listens."""
    with running_collector() as collector:
        yield collector


@pytest.fixture
def settings(data_dir: Path, collector: Collector) -> Settings:
    """Return settings that send spans there."""
    return Settings(data_dir=data_dir, otel_exporter_otlp_endpoint=collector.url)


def ask(client: TestClient, question: str, **fields: object) -> Any:  # noqa: ANN401 - JSON
    """Return the answer to a question."""
    response = client.post("/v1/answers", json={"question": question, **fields})
    assert response.status_code == 200, response.text
    return response.json()


def upload_file(client: TestClient, name: str, data: bytes) -> Any:  # noqa: ANN401 - JSON
    """Upload a file and return the document as it is when it has been read, or could not be."""
    response = client.post("/v1/documents", files={"file": (name, data)})
    return when_read(client, response.json()["document"]["id"])


def test_each_request_is_a_span_with_its_route(settings: Settings, collector: Collector) -> None:
    """Method, template of the route, status and request id; what waits is sent when the service ends."""
    with running_service(settings) as client:
        client.get("/v1/documents/doc_plover?limit=quorn", headers={"X-Request-ID": "from-a-test"})
        client.get("/no/such/path")
        client.get("/healthz")
    span = collector.the("GET /v1/documents/{document_id}")
    assert attributes(span) == {
        "http.request.method": "GET",
        "http.route": "/v1/documents/{document_id}",
        "http.response.status_code": 404,
        "rag.request_id": "from-a-test",
    }
    assert span.kind == span.SPAN_KIND_SERVER
    assert span.status.code == span.status.STATUS_CODE_UNSET
    assert attributes(collector.the("GET"))["http.response.status_code"] == 404
    assert len(collector.named("GET /healthz")) >= 1
    assert set(collector.paths) == {"/v1/traces"}


def test_the_caller_s_trace_goes_on(settings: Settings, collector: Collector) -> None:
    """A span belongs to the trace of its traceparent; a caller who records nothing gets no span."""
    with running_service(settings) as client:
        for flag in ("01", "00"):
            client.get("/healthz", headers={"traceparent": f"00-{OTHER_TRACE}-{OTHER_SPAN}-{flag}"})
        client.get("/healthz", headers={"traceparent": "nonsense"})
    ours = [span for span in collector.spans if span.trace_id.hex() == OTHER_TRACE]
    assert [span.parent_span_id.hex() for span in ours] == [OTHER_SPAN]
    assert len(collector.named("GET /healthz")) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_has_its_stages_below_its_request(
    stream: bool,  # noqa: FBT001 - a parameter of the test
    settings: Settings,
    collector: Collector,
) -> None:
    """Search with the query's vector, and verification; model, tokens and citations are told."""
    with running_service(settings) as client:
        upload(client, "Vibble pumps move forty litres of quorn an hour.", title="plover")
        client.post("/v1/answers", json={"question": "What do Vibble pumps move?", "stream": stream})
    answer = collector.the("answer")
    request = collector.the("POST /v1/answers")
    assert collector.below(request) == {"answer": answer}
    told = attributes(answer)
    assert told["gen_ai.request.model"] == "fake-chat"
    assert told["rag.answer.status"] == "answered"
    assert (told["rag.citations"], told["rag.passages"]) == (1, 1)
    assert int(str(told["gen_ai.usage.input_tokens"])) > 0
    assert int(str(told["gen_ai.usage.output_tokens"])) > 0
    stages = collector.below(answer)
    assert set(stages) == {"search", "verify"}  # the stand-in needs no time to read and write
    assert set(collector.below(stages["search"])) == {"embed"}
    assert 0 < milliseconds(stages["search"]) <= milliseconds(answer) <= milliseconds(request)


def test_a_refusal_is_told_with_its_reason(settings: Settings, collector: Collector) -> None:
    """An answer that is none is no error."""
    with running_service(settings) as client:
        reason = ask(client, "What do Vibble pumps move?")["refusal"]["reason"]
    span = collector.the("answer")
    assert attributes(span)["rag.refusal"] == reason
    assert span.status.code == span.status.STATUS_CODE_UNSET


def test_an_answer_that_fails_tells_the_error_s_kind(settings: Settings, collector: Collector) -> None:
    """The error's message may quote, and is not told; in a stream only this span shows that it failed."""

    def fail(_messages: Sequence[Message], _parts: Sequence[Part]) -> Said:
        raise ModelError("The server said: no quorn here")

    models = Models(FakeEmbedder, lambda: FakeChatModel(fail))
    with running_service(settings, models) as client:
        upload(client, "Vibble pumps move forty litres of quorn an hour.")
        client.post("/v1/answers", json={"question": "What do Vibble pumps move?", "stream": True})
    span = collector.the("answer")
    assert attributes(span) == {"error.type": "ModelError"}
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert b"quorn" not in b"".join(collector.bodies)


def test_a_search_has_its_stages(settings: Settings, collector: Collector) -> None:
    """A search is below its request, the query's vector below the search."""
    with running_service(settings) as client:
        upload(client, "Vibble pumps move forty litres of quorn an hour.")
        client.post("/v1/search", json={"query": "quorn"})
        client.post("/v1/search", json={"query": "quorn", "search": "lexical"})
    spans = collector.named("search")
    told = [attributes(span) for span in spans]
    assert [(each["rag.search.mode"], each["rag.passages"]) for each in told] == [
        ("hybrid", 1),
        ("lexical", 1),
    ]
    assert all(str(each["rag.generation"]).startswith("gen_") for each in told)
    assert set(collector.below(spans[0])) == {"embed"}
    requests = {span.span_id for span in collector.named("POST /v1/search")}
    assert {span.parent_span_id for span in spans} == requests


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_each_document_is_a_span(
    database: str, settings: Settings, collector: Collector, request: pytest.FixtureRequest
) -> None:
    """What was read tells its bytes and chunks, what could not be read that it failed; each once."""
    url = request.getfixturevalue("postgresql_url") if database == "postgresql" else ""
    text = "# Vibble\n\nThe quorn is green."
    with running_service(settings.model_copy(update={"database_url": url})) as client:
        plain = upload(client, text)
        marked = upload_file(client, "plover.md", b"# Plover\n\nAnother one.")
        damaged = upload_file(client, "plover.pdf", b"%PDF-1.7 plover")
    spans = {str(attributes(span)["rag.document.id"]): span for span in collector.named("document")}
    assert len(collector.named("document")) == len(spans) == 3
    told = attributes(spans[plain["id"]])
    assert told["rag.document.status"] == "done"
    assert told["rag.document.chunks"] == 1
    assert told["rag.document.bytes"] == len(text)
    assert set(collector.below(spans[plain["id"]])) == {"index"}  # nothing had to be parsed
    assert attributes(spans[marked["id"]])["rag.document.media_type"] == "text/markdown"
    assert set(collector.below(spans[marked["id"]])) == {"parse", "index"}
    failed = spans[damaged["id"]]
    assert attributes(failed)["rag.document.status"] == "failed"
    assert attributes(failed)["rag.error_kind"] == "permanent"
    assert failed.status.code == failed.status.STATUS_CODE_ERROR


def test_no_words_of_people_leave(settings: Settings, collector: Collector) -> None:
    """Neither questions nor answers, documents, titles, file names or filters are in any span."""
    with running_service(settings) as client:
        name = "Vibble-quorn"
        client.post("/v1/collections", json={"name": name, "description": "plover"})
        document = upload(
            client, "Vibble pumps move quorn.", title="plover", external_id="quorn", collection=name
        )
        ask(client, "What do Vibble pumps move?", collections=[name])
        client.post("/v1/search", json={"query": "quorn", "collections": [name]})
        client.post("/v1/search", json={"query": "quorn", "collections": ["plover"]})
        client.get(f"/v1/documents?collection={name}")
        client.get(f"/v1/collections/{name}")
        client.delete(f"/v1/documents/{document['id']}")
    assert len(collector.spans) > 10
    sent = b"".join(collector.bodies)
    assert [word for word in SECRETS if word.encode() in sent] == []


def test_a_collector_that_is_away_is_told_once(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests are answered as before; one warning, no traceback, and the end does not wait for it."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1.5")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        settings = Settings(data_dir=data_dir, otel_exporter_otlp_endpoint=address)
        with running_service(settings) as client:
            assert client.get("/healthz").status_code == 200
            wait_for(lambda: "lost" in caplog.text)
            assert client.get("/healthz").status_code == 200
            ended = time.monotonic()
    assert time.monotonic() - ended < 10
    warnings = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert [each.name for each in warnings] == ["rag_service.telemetry.exporting"]
    assert address in warnings[0].getMessage()
    assert "refused" in warnings[0].getMessage()
    assert warnings[0].exc_info is None


def test_a_collector_that_comes_back_is_told(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What was made while it refused is lost; later spans arrive, and the log says so."""
    caplog.set_level(logging.INFO, logger="rag_service.telemetry")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")
    collector.status = 403
    telemetry = Telemetry(collector.url)
    telemetry.tracer.start_span("lost").end()
    wait_for(lambda: "Forbidden" in caplog.text)
    collector.status = 200
    telemetry.tracer.start_span("arrived").end()
    wait_for(lambda: bool(collector.bodies))
    telemetry.close()
    assert [span.name for span in collector.spans] == ["arrived"]
    assert [each.levelname for each in caplog.records] == ["WARNING", "INFO"]


def test_a_collector_that_hangs_holds_nobody_up(settings: Settings, collector: Collector) -> None:
    """Neither a request nor the end of the service waits for it, which would be ten seconds."""
    collector.go_on.clear()
    telemetry = Telemetry(collector.url)
    began = time.monotonic()
    for _ in range(5000):  # more than the queue takes
        telemetry.tracer.start_span("many").end()
    telemetry.close(within_s=0.5)
    assert time.monotonic() - began < 8
    with running_service(settings) as client:
        began = time.monotonic()
        assert client.get("/healthz").status_code == 200
        assert time.monotonic() - began < 8
        collector.go_on.set()


def test_without_the_setting_nothing_is_imported() -> None:
    """The application imports neither OpenTelemetry's SDK nor ours."""
    program = (
        "import sys, rag_service.app, rag_service.worker, rag_service.api.routes; "
        "ours = ('opentelemetry.sdk', 'opentelemetry.exporter', 'rag_service.telemetry'); "
        "print([name for name in sys.modules if name.startswith(ours)])"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "['rag_service.telemetry', 'rag_service.telemetry.opening']"


def test_the_setting_without_the_extra_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The start ends with the command that installs it."""
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"pip install 'rag-service\[otel\]'"):
        create_app(settings, Models(FakeEmbedder, FakeChatModel))


def wait_for(condition: Any) -> None:  # noqa: ANN401 - any function
    """Return when it is true."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
