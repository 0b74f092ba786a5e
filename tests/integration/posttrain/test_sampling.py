"""Batched decoding on a tiny real Llama."""

from pathlib import Path

import pytest

from posttrain.sampling import BatchSampler, Completion, load_sampler
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import user
from rag_service.answering.llama import Precision
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.markers import Call, Delta
from tests.tiny_models import write_tiny_model

QUESTIONS = (
    "Who?",
    "What does the second generator of the station burn in an hour?",
    "Wie heißt der Koch, und wo arbeitet er?",
    "[1]",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a base model's folder."""
    # Untied and with large weights, so that it writes long and varied text.
    folder = tmp_path_factory.mktemp("base")
    return write_tiny_model(folder, tie_word_embeddings=False, initializer_range=0.3)


@pytest.fixture(scope="module")
def sampler(base: Path, tmp_path_factory: pytest.TempPathFactory) -> BatchSampler:
    """Return a sampler of the base model."""
    return load_sampler(str(base), models_dir=tmp_path_factory.mktemp("models"))


def ask(sampler: BatchSampler, sampling: Sampling, count: int = 1) -> list[tuple[Completion, ...]]:
    """Sample answers to all questions."""
    return sampler.sample([sampler.prompt([user(question)]) for question in QUESTIONS], sampling, count=count)


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_batched_greedy_equals_single_greedy(base: Path, tmp_path: Path, precision: Precision) -> None:
    """Prompts of different lengths side by side get the answers that the service gives one by one."""
    sampling = Sampling(max_tokens=40)
    sampler = load_sampler(str(base), models_dir=tmp_path, precision=precision)
    model = load_chat_model(str(base), models_dir=tmp_path, precision=precision)
    for question, (completion,) in zip(QUESTIONS, ask(sampler, sampling), strict=True):
        with model.begin([user(question)]) as turn:
            items = list(turn.generate(sampling))
        text = "".join(item.text for item in items if isinstance(item, Delta) and item.kind != "reasoning")
        assert completion.text == text.strip()
        assert completion.tokens > 3
        assert completion.call == next((item for item in items if isinstance(item, Call)), None)


def test_draws_of_a_prompt_differ_and_come_again_with_their_seed(sampler: BatchSampler) -> None:
    """Eight draws at temperature 1 are not all the same; the same seed gives the same eight."""
    sampling = Sampling(max_tokens=12, temperature=1.0, seed=3)
    drawn = ask(sampler, sampling, count=8)
    assert [len(answers) for answers in drawn] == [8] * len(QUESTIONS)
    assert len({answer.text for answer in drawn[0]}) > 1
    assert ask(sampler, sampling, count=8) == drawn
    assert ask(sampler, Sampling(max_tokens=12, temperature=1.0, seed=4), count=8) != drawn


def test_rows_end_at_stop_strings_and_at_the_limit(sampler: BatchSampler) -> None:
    """No completion has more tokens than asked for; one with the stop string ends before it."""
    answers = [answer for (answer,) in ask(sampler, Sampling(max_tokens=20))]
    assert all(answer.tokens <= 20 for answer in answers)
    longest = max(range(len(answers)), key=lambda n: len(answers[n].text))
    stop = answers[longest].text[1:3]
    assert stop.strip()
    (cut,) = ask(sampler, Sampling(max_tokens=20, stop=(stop,)))[longest]
    assert cut.end == "stop"
    assert stop not in cut.text
