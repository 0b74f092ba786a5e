"""A model behind a real OpenAI-compatible server: `transformers serve` with the tiny Llama."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from corpus.errors import NotReady
from rag_service.answering.chat_model import ChatModel, End, Sampling
from rag_service.answering.conversation import Part, SourcePassage, system, user
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.markers import Delta
from rag_service.answering.remote_model import RemoteModel, connect
from tests.integration.conftest import free_port
from tests.tiny_models import write_tiny_model

pytestmark = pytest.mark.slow

MESSAGES = [system("Be brief."), user("How much do they burn?")]
RESULT = Part("search_result", passages=(SourcePassage("a", "Each burns 14 litres."),))
SAMPLING = Sampling(max_tokens=12)


@dataclass(frozen=True, slots=True)
class Running:
    """A server and the folder of its model."""

    process: "subprocess.Popen[bytes]"
    url: str
    folder: Path

    def model(self) -> RemoteModel:
        """Return the server's model."""
        return connect(
            base_url=f"{self.url}/v1",
            api_key=SecretStr("any"),
            model=str(self.folder),
            context_length=2000,
            silence_s=60,
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start the server as a process of its own."""
    folder = write_tiny_model(tmp_path_factory.mktemp("served"), max_position_embeddings=2048)
    port = free_port()
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)),
            *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu"),
        ],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=log,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}/health", process, folder / "log")
            yield Running(process, f"http://127.0.0.1:{port}", folder)
        finally:
            process.terminate()
            process.wait()
            log.close()


def wait_until_it_answers(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the server has loaded its model."""
    deadline = time.monotonic() + 120
    while True:
        try:
            httpx.get(url).raise_for_status()
        except httpx.HTTPError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        else:
            return


def say(model: ChatModel, *parts: Part) -> tuple[str, object, int]:
    """Return the text, the end and the tokens of the prompt."""
    with model.begin(MESSAGES) as turn:
        turn.append(*parts)
        items = list(turn.generate(SAMPLING))
        text = "".join(item.text for item in items if isinstance(item, Delta))
        return text, items[-1], turn.usage.prompt_tokens


def test_the_same_weights_say_the_same_here_and_there(running: Running) -> None:
    """Text, end and tokens: frame, sampling and counting agree with the model in this process."""
    local = load_chat_model(str(running.folder), models_dir=running.folder, precision="float32")
    said = say(running.model())
    assert said == say(local)
    assert said[0]
    assert said[1] == End("length")


def test_results_reach_a_server_that_continues_no_turn(running: Running) -> None:
    """It refuses the open turn; the result comes as a user's message, and the answer goes on."""
    model = running.model()
    without = say(model)
    text, end, tokens = say(model, Part("search", "fuel"), RESULT)
    assert text
    assert end == End("length")
    assert tokens > without[2]
    assert not model.continues_turns


def test_a_server_that_was_killed(running: Running) -> None:
    """The caller learns that it is away, with its address."""
    running.process.kill()
    running.process.wait()
    with pytest.raises(NotReady, match="does not answer"):
        say(running.model())
