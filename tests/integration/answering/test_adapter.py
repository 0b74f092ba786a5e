"""LoRA adapters in PEFT's files, merged while loading."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from corpus.errors import ModelError, ModelHashMismatch, ModelNotFound
from rag_service.answering.adapter import load_adapter, merge
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.template import AnswererTemplate, answerer_vocabulary
from tests.tiny_models import tiny_vocabulary, write_tiny_model

CONFIG = {"peft_type": "LORA", "r": 4, "lora_alpha": 8}
QUERY = "model.layers.0.self_attn.q_proj"


def _write(folder: Path, tensors: dict[str, torch.Tensor], **config: object) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | config), encoding="utf-8")
    return folder


def _pair() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        f"base_model.model.{QUERY}.lora_A.weight": torch.randn(4, 48),
        f"base_model.model.{QUERY}.lora_B.weight": torch.randn(48, 4),
    }


def test_the_product_is_added_to_its_matrix(tmp_path: Path) -> None:
    """W + alpha/r B A, and nothing else changes."""
    weights = {f"{QUERY}.weight": torch.randn(48, 48), "model.norm.weight": torch.ones(48)}
    before = {name: tensor.clone() for name, tensor in weights.items()}
    pair = _pair()
    merge(load_adapter(_write(tmp_path, pair), base_sha256="x"), weights)
    down, up = pair.values()
    torch.testing.assert_close(weights[f"{QUERY}.weight"], before[f"{QUERY}.weight"] + 2 * up @ down)
    assert torch.equal(weights["model.norm.weight"], before["model.norm.weight"])


def test_rank_stabilised_adapters_have_their_own_scale(tmp_path: Path) -> None:
    """Kalajdzievski 2023: alpha over the root of r."""
    assert load_adapter(_write(tmp_path, _pair(), use_rslora=True), base_sha256="x").scale == 4.0


def test_new_tokens_lengthen_the_embedding(tmp_path: Path) -> None:
    """Rows are set to the given values, also rows that the model did not have."""
    rows = {"base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": torch.ones(2, 3)}
    adapter = load_adapter(
        _write(tmp_path, rows, trainable_token_indices={"embed_tokens": [1, 5]}), base_sha256="x"
    )
    weights = {"model.embed_tokens.weight": torch.zeros(4, 3)}
    merge(adapter, weights)
    assert weights["model.embed_tokens.weight"].sum(1).tolist() == [0, 3, 0, 0, 0, 3]


def test_whole_tensors_replace_the_models(tmp_path: Path) -> None:
    """An adapter may bring a norm or an embedding in full."""
    adapter = load_adapter(
        _write(tmp_path, {"base_model.model.model.norm.weight": torch.full((3,), 2.0)}), base_sha256="x"
    )
    weights = {"model.norm.weight": torch.ones(3)}
    merge(adapter, weights)
    assert weights["model.norm.weight"].tolist() == [2, 2, 2]


@pytest.mark.parametrize("name", ["base_model.model.no.such.lora_A.weight", "base_model.model.no.such"])
def test_a_tensor_without_a_place_is_an_error(tmp_path: Path, name: str) -> None:
    """Half an adapter would answer wrongly in silence."""
    adapter = load_adapter(_write(tmp_path, {name: torch.ones(4, 4)}), base_sha256="x")
    with pytest.raises(ModelError, match="does not fit"):
        merge(adapter, {})


@pytest.mark.parametrize("option", [{"use_dora": True}, {"peft_type": "IA3"}, {"alpha_pattern": {"q": 1}}])
def test_other_kinds_of_adapters_are_refused(tmp_path: Path, option: dict[str, object]) -> None:
    """What is not plain LoRA is told, not merged wrongly."""
    with pytest.raises(ModelError, match="no plain LoRA"):
        load_adapter(_write(tmp_path, _pair(), **option), base_sha256="x")


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    """An adapter may name the weights that it belongs to."""
    folder = _write(tmp_path, _pair(), base_sha256="one")
    assert load_adapter(folder, base_sha256="one").tokens == ()
    with pytest.raises(ModelHashMismatch):
        load_adapter(folder, base_sha256="other")


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    """Each with what to do."""
    with pytest.raises(ModelNotFound, match=r"lacks adapter_model\.safetensors"):
        load_adapter(tmp_path, base_sha256="x")
    _write(tmp_path, _pair())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"no")
    with pytest.raises(ModelError, match="damaged"):
        load_adapter(tmp_path, base_sha256="x")


def test_weights_in_several_files_are_read_as_one(tmp_path: Path) -> None:
    """Whatever the number of parts; another part makes it another adapter."""
    _write(tmp_path, _pair())
    (tmp_path / "adapter_model.safetensors").unlink()
    down, up = _pair().items()
    for number, part in ((1, down), (2, up)):
        save_file(dict([part]), tmp_path / f"adapter_model-0000{number}-of-00002.safetensors")
    adapter = load_adapter(tmp_path, base_sha256="x")
    assert adapter.tensors.keys() == _pair().keys()
    assert all(torch.equal(adapter.tensors[name], tensor) for name, tensor in _pair().items())
    save_file({up[0]: up[1] * 2}, tmp_path / "adapter_model-00002-of-00002.safetensors")
    assert load_adapter(tmp_path, base_sha256="x").sha256 != adapter.sha256


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_part_that_is_missing_is_told_by_name(tmp_path: Path, missing: int) -> None:
    """Two thirds of an adapter would answer wrongly in silence."""
    _write(tmp_path, {})
    (tmp_path / "adapter_model.safetensors").unlink()
    for number in {1, 2, 3} - {missing}:
        save_file({}, tmp_path / f"adapter_model-0000{number}-of-00003.safetensors")
    with pytest.raises(ModelNotFound, match=rf"lacks adapter_model-0000{missing}-of-00003\.safetensors;"):
        load_adapter(tmp_path, base_sha256="x")


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
def test_an_adapter_with_the_answerers_tokens_makes_an_answerer(tmp_path: Path, model_type: str) -> None:
    """Tokenizer and rows of the adapter take effect, in either network."""
    model = write_tiny_model(tmp_path / "base")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    (model / "config.json").write_text(json.dumps(config | {"model_type": model_type}), encoding="utf-8")
    vocabulary = answerer_vocabulary(tiny_vocabulary())
    new = range(tiny_vocabulary().size, vocabulary.size)
    embedding = load_file(model / "model.safetensors")["model.embed_tokens.weight"]
    tensors = _pair() | {
        "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta": embedding[: len(new)] * 1
    }
    folder = _write(tmp_path / "adapter", tensors, trainable_token_indices=list(new))
    vocabulary.save(folder / "tokenizer.json")
    loaded = load_chat_model(str(model), models_dir=tmp_path, adapter=str(folder))
    assert isinstance(loaded.template, AnswererTemplate)
    assert (loaded.skill, loaded.name) == ("trained", "base+adapter")
    assert loaded.fingerprint.adapter_sha256
    assert loaded._network.forward([new[0], new[1], 5]).shape == (vocabulary.size,)
