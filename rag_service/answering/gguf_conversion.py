"""GGUF to a folder that transformers and this service load: exact float32 weights, config, tokenizer.

Only the Llama architecture with a byte-level BPE tokenizer is read; the names of tensors and fields
are those of the GGUF specification (ggml-org/ggml, docs/gguf.md). transformers can read GGUF too,
but needs another library for it, refuses to save what it read, and rebuilds SmolLM2's tokenizer
without its splitting of digits: white space before a number then becomes other tokens than in training.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from corpus.errors import ModelError

_CONTROL_TOKEN = 3  # token type in GGUF
_LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_OTHER_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the weights' layout depends on."""

    layers: int
    hidden: int
    heads: int
    key_value_heads: int


def convert_gguf(source: Path, folder: Path) -> None:
    """Write `config.json`, `model.safetensors`, `tokenizer.json` and what belongs to them into `folder`.

    Raises:
        ModelError: an architecture or a tokenizer that is not read.
    """
    reader = GGUFReader(source)
    if (architecture := _field(reader, "general.architecture")) != "llama":
        raise ModelError(
            f"{source.name} is of architecture {architecture}; give a transformers folder instead."
        )
    shape = _Shape(
        layers=_number(reader, "llama.block_count"),
        hidden=_number(reader, "llama.embedding_length"),
        heads=_number(reader, "llama.attention.head_count"),
        key_value_heads=_number(reader, "llama.attention.head_count_kv"),
    )
    tokens = _strings(reader, "tokenizer.ggml.tokens")
    weights = _weights(reader, shape)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _write_json(
        folder / "config.json", _config(reader, shape, len(tokens), tied="lm_head.weight" not in weights)
    )
    _tokenizer(reader, tokens).save(str(folder / "tokenizer.json"))
    _write_json(folder / "tokenizer_config.json", _tokenizer_config(reader, tokens))


def _weights(reader: GGUFReader, shape: _Shape) -> dict[str, NDArray[np.float32]]:
    weights = {}
    for tensor in reader.tensors:
        values = np.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if tensor.name in _OTHER_TENSORS:
            weights[_OTHER_TENSORS[tensor.name]] = values
            continue
        _, layer, kind, suffix = tensor.name.split(".")
        if kind not in _LAYER_TENSORS or suffix != "weight":
            raise ModelError(f"The tensor {tensor.name} is not known; give a transformers folder instead.")
        heads = {"attn_q": shape.heads, "attn_k": shape.key_value_heads}.get(kind)
        name = f"model.layers.{layer}.{_LAYER_TENSORS[kind]}.weight"
        weights[name] = _halves_apart(values, heads) if heads else values
    return weights


def _halves_apart(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Undo llama.cpp's order of rows: it turns neighbours, transformers turns halves of a head."""
    rows, columns = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, columns)
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, columns))


def _config(reader: GGUFReader, shape: _Shape, vocabulary: int, *, tied: bool) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": _number(reader, "llama.feed_forward_length"),
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.hidden // shape.heads,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "max_position_embeddings": _number(reader, "llama.context_length"),
        "rms_norm_eps": round(float(str(_field(reader, "llama.attention.layer_norm_rms_epsilon"))), 12),
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": float(str(_field(reader, "llama.rope.freq_base"))),
        },
        "tie_word_embeddings": tied,
        "bos_token_id": _number(reader, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _number(reader, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _number(reader, "tokenizer.ggml.unknown_token_id"),
    }


def _tokenizer(reader: GGUFReader, tokens: list[str]) -> Tokenizer:
    kind, splitting = _field(reader, "tokenizer.ggml.model"), _field(reader, "tokenizer.ggml.pre")
    if (kind, splitting) != ("gpt2", "smollm"):
        raise ModelError(f"The tokenizer {kind}/{splitting} is not read; give a transformers folder instead.")
    merges = [(left, right) for left, _, right in map(_parted, _strings(reader, "tokenizer.ggml.merges"))]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    types = np.asarray(_field(reader, "tokenizer.ggml.token_type"))
    control = [tokens[number] for number in np.flatnonzero(types == _CONTROL_TOKEN)]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in control])
    return tokenizer


def _tokenizer_config(reader: GGUFReader, tokens: list[str]) -> dict[str, object]:
    """SmolLM2 pads with the token that ends a turn; a trainer would then never learn to end one."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[_number(reader, "tokenizer.ggml.bos_token_id")],
        "eos_token": tokens[_number(reader, "tokenizer.ggml.eos_token_id")],
        "unk_token": tokens[_number(reader, "tokenizer.ggml.unknown_token_id")],
        "pad_token": tokens[_number(reader, "tokenizer.ggml.unknown_token_id")],
        "model_max_length": _number(reader, "llama.context_length"),
        "clean_up_tokenization_spaces": False,
        "chat_template": _field(reader, "tokenizer.chat_template"),
    }


def _field(reader: GGUFReader, name: str) -> object:
    field = reader.get_field(name)
    if field is None:
        raise ModelError(f"The GGUF file lacks {name}; use a complete one.")
    return field.contents()


def _number(reader: GGUFReader, name: str) -> int:
    return int(str(_field(reader, name)))


def _strings(reader: GGUFReader, name: str) -> list[str]:
    values = _field(reader, name)
    if not isinstance(values, list):
        raise ModelError(f"{name} in the GGUF file is no list; use a complete one.")
    return values


def _parted(merge: str) -> tuple[str, str, str]:
    return merge.partition(" ")


def _write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
