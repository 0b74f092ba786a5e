"""A chat server's faults and forms, against a real server that follows a script."""

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from corpus.errors import CorpusError, ModelError, ModelNotFound, NotReady, PromptTooLong, SettingsError
from rag_service.answering.chat_completions import ChatMessage, ChatRequest
from rag_service.answering.chat_server import ChatServer, Patience, RequestRefused
from tests.scripted_server import Answer, ScriptedServer, chunk, events, raw, said, scripted_server, status

KEY = "sk-very-secret"
REQUEST = ChatRequest("big", (ChatMessage("user", "How much do they burn?"),), max_tokens=50)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A running server; a proxy of the developer's is not asked."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with scripted_server() as scripted:
        yield scripted


def ask(url: str, *, read_s: float = 5.0, key: str = KEY) -> str:
    """Return all of an answer; no time is lost between attempts."""
    patience = Patience(connect_s=2, read_s=read_s, first_pause_s=0.001)
    pieces = ChatServer(url, SecretStr(key), patience).stream(REQUEST, lambda: False)
    return "".join(piece.text for piece in pieces)


@pytest.mark.parametrize(
    "fault",
    [status(429), status(500), status(503), events(), events(chunk()), events('{"error": {"code": 500}}')],
    ids=["429", "500", "503", "nothing", "role only", "error event"],
)
def test_passing_faults_are_tried_again(server: ScriptedServer, fault: Answer) -> None:
    """As long as nothing was said."""
    server.script = [fault, fault, said("There.")]
    assert ask(server.url) == "There."
    assert len(server.asked) == 3


@pytest.mark.parametrize(("code", "words"), [(429, "too busy"), (500, "fails .500.: out of memory")])
def test_faults_that_do_not_pass(server: ScriptedServer, code: int, words: str) -> None:
    """After four attempts the caller is told."""
    server.script = [status(code, "out of memory\nTraceback …")] * 4
    with pytest.raises(NotReady, match=words) as caught:
        ask(server.url)
    assert "Traceback" not in str(caught.value)
    assert len(server.asked) == 4


def test_retry_after_is_kept_to(server: ScriptedServer) -> None:
    """The server's wish is stronger than our pause."""
    server.script = [status(429, Retry_After="1"), said("x")]
    began = time.monotonic()
    ask(server.url)
    assert time.monotonic() - began >= 1


def test_pauses_double_and_differ() -> None:
    """Between half and all of 0.5, 1 and 2 seconds."""
    draws = [list(Patience().pauses()) for _ in range(20)]
    assert all(0.5 <= pause / (0.5 * 2**n) <= 1 for draw in draws for n, pause in enumerate(draw))
    assert len({draw[0] for draw in draws}) > 1
    assert all(len(draw) == 3 for draw in draws)


@pytest.mark.parametrize(
    "answer",
    [events(chunk("14 li")), events(chunk("14 li"), '{"error": {"message": "no memory"}}')],
    ids=["closed", "error"],
)
def test_a_stream_that_breaks_off_is_not_begun_again(server: ScriptedServer, answer: Answer) -> None:
    """The reader has the beginning already; a second answer might differ."""
    server.script = [answer, said("never asked")]
    pieces = ChatServer(server.url, SecretStr("")).stream(REQUEST, lambda: False)
    assert next(pieces).text == "14 li"
    with pytest.raises(NotReady, match="broke off"):
        next(pieces)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("code", "message", "error", "words"),
    [
        (401, f"wrong key {KEY}", ModelError, "RAG_CHAT_API_KEY"),
        (403, "", ModelError, "RAG_CHAT_API_KEY"),
        (404, "no such model", ModelNotFound, "no model 'big'.*RAG_CHAT_MODEL"),
        (400, "maximum context length is 512 tokens", PromptTooLong, "RAG_CHAT_CONTEXT_LENGTH"),
        (400, f"bad {KEY}", RequestRefused, r"refuses the request \(400\): bad \*\*\*"),
        (307, "", ModelError, "status 307"),
    ],
)
def test_refusals_are_not_tried_again(
    server: ScriptedServer, code: int, message: str, error: type[CorpusError], words: str
) -> None:
    """Each says what to do; none shows the key."""
    server.script = [status(code, message)]
    with pytest.raises(error, match=words) as caught:
        ask(server.url)
    assert type(caught.value) is error
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        raw(b"data: {broken\n\n"),
        raw(b"data: 3\n\n"),
        raw(b"<html>", "text/html"),
        raw(b"data: " + b"x" * (2 << 20)),
    ],
    ids=["no JSON", "no object", "a page", "endless"],
)
def test_what_is_no_chat_server(server: ScriptedServer, answer: Answer) -> None:
    """An answer outside the format is an error that names the setting or the server."""
    server.script = [answer]
    with pytest.raises(ModelError, match=r"RAG_CHAT_BASE_URL|without end"):
        ask(server.url)


def test_event_streams_in_all_their_forms(server: ScriptedServer) -> None:
    """Comments, CRLF, no space, other fields, data in two lines, line separators inside text."""
    lines = [
        ": ping\r\n\r\nevent: x\r\nid: 1\r\ndata:" + chunk("a\u2028b") + "\r\n\r\n",
        'data: {"choices": [{"delta":\ndata: {"content": "c"}}]}\n\n',
        'data: {"choices": "none", "usage": null}\n\n',
        "data: " + chunk(finish="stop") + "\n\ndata: [DONE]\n\ndata: {broken",
    ]
    server.script = [raw("".join(lines).encode())]
    assert ask(server.url) == "a\u2028bc"


def test_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """The address is in the message, and every attempt in the log; the key is in neither."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/v1"
        with caplog.at_level(logging.DEBUG), pytest.raises(NotReady) as caught:
            ask(url)
    assert f"The chat server at {url} does not answer" in str(caught.value)
    assert caplog.text.count("Another attempt follows") == 3
    assert KEY not in caplog.text + str(caught.value)


def test_a_server_that_hangs(server: ScriptedServer) -> None:
    """After the longest silence it is given up, without another attempt, and its connection closed."""
    server.script = [server.hang]
    with pytest.raises(NotReady, match=r"does not answer: nothing came for 0\.2 s"):
        ask(server.url, read_s=0.2)
    assert server.left.wait(2)


@pytest.mark.parametrize(
    "url", ["", "host:8000", "ftp://host", "http://", "http://h:port", "http://me:word@host/v1"]
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    """The setting is named; a password in it is not shown."""
    with pytest.raises(SettingsError, match="RAG_CHAT_BASE_URL") as caught:
        ChatServer(url, SecretStr(""))
    assert "word@" not in str(caught.value)


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_takes_is_refused_without_showing_it(key: str) -> None:
    """Libraries would put it into their errors."""
    with pytest.raises(SettingsError, match="RAG_CHAT_API_KEY") as caught:
        ChatServer("http://host/v1", SecretStr(key))
    assert key not in str(caught.value)


def test_without_a_key_none_is_sent(server: ScriptedServer) -> None:
    """Servers of one's own need none; a slash at the address's end is no matter."""
    server.script = [said("x")]
    ask(f"{server.url}/", key="")
    assert "authorization" not in server.headers[0]
    assert server.asked[0]["path"] == "/v1/chat/completions"
