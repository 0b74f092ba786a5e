"""Our Llama against transformers' own."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from rag_service.answering.llama import LlamaConfig, LlamaNetwork, Precision
from rag_service.answering.transformers_network import TransformersNetwork
from tests.tiny_models import write_tiny_model

IDS = [5, 17, 90, 3, 44, 44, 8, 120, 61, 7]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model."""
    return write_tiny_model(tmp_path_factory.mktemp("model"))


def _network(folder: Path, precision: Precision = "float32") -> LlamaNetwork:
    config = LlamaConfig.read(folder)
    assert config is not None
    return LlamaNetwork(config, load_file(folder / "model.safetensors"), precision)


def _reference(folder: Path, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = LlamaForCausalLM.from_pretrained(folder)(torch.tensor([ids])).logits[0, -1]
    return logits


@pytest.mark.parametrize("cuts", [[10], [1] * 10, [4, 1, 5], [9, 1]])
def test_logits_are_those_of_transformers(folder: Path, cuts: list[int]) -> None:
    """In whatever pieces the context is read."""
    network, start = _network(folder), 0
    for cut in cuts:
        logits = network.forward(IDS[start : start + cut])
        start += cut
    torch.testing.assert_close(logits, _reference(folder, IDS), atol=1e-5, rtol=1e-4)
    assert network.length == len(IDS)


def test_a_truncated_context_goes_on_as_if_nothing_had_been_there(folder: Path) -> None:
    """What was forgotten leaves no trace."""
    network = _network(folder)
    network.forward([*IDS[:6], 99, 98, 97])
    network.truncate(6)
    torch.testing.assert_close(network.forward(IDS[6:]), _reference(folder, IDS), atol=1e-5, rtol=1e-4)


def test_the_cache_grows_with_the_context(tmp_path: Path) -> None:
    """A context beyond the first capacity loses nothing."""
    folder = write_tiny_model(tmp_path, max_position_embeddings=3000)
    ids = [(7 * n) % 300 for n in range(1500)]
    network = _network(folder)
    network.forward(ids[:1000])
    logits = network.forward(ids[1000:])
    torch.testing.assert_close(logits, _reference(folder, ids), atol=1e-4, rtol=1e-3)


def test_bytes_come_near_and_do_not_depend_on_the_pieces(folder: Path) -> None:
    """A token's result is its own, whatever is read together with it."""
    whole, pieces = _network(folder, "int8"), _network(folder, "int8")
    logits = whole.forward(IDS)
    for number in IDS:
        one_by_one = pieces.forward([number])
    torch.testing.assert_close(one_by_one, logits, atol=1e-5, rtol=1e-4)
    assert torch.cosine_similarity(logits, _reference(folder, IDS), dim=0) > 0.999


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mistral"},
        {"attention_bias": True},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1.0}},
    ],
)
def test_another_architecture_is_not_taken_for_llama(
    folder: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    """A variant that is not computed here goes to transformers."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    assert LlamaConfig.read(tmp_path) is None


def test_transformers_network_keeps_the_same_contract(folder: Path) -> None:
    """The other implementation appends, truncates and goes on alike."""
    network = TransformersNetwork(folder, None)
    network.forward([*IDS[:6], 99, 98])
    network.truncate(6)
    torch.testing.assert_close(network.forward(IDS[6:]), _reference(folder, IDS), atol=1e-5, rtol=1e-4)
    assert (network.length, network.context_length) == (len(IDS), 256)
