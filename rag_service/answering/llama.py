"""The Llama architecture for one conversation on a CPU.

Touvron et al. 2023 (arXiv:2302.13971, section 2.2), with the grouped keys and values of Ainslie et al.
2023 (arXiv:2305.13245). The weights' names are transformers', and the results are equal to its
(a test compares them). What is gained against running it there: keys and values are written in place
instead of being copied for each token, and a token costs half the time.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch
from torch import Tensor
from torch.nn import functional

from corpus.linear import FloatLinear, Int8Linear, Linear

Precision = Literal["float32", "int8"]
_FIRST_CAPACITY = 1024  # tokens; doubled when needed


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """The numbers of one Llama model."""

    layers: int
    hidden: int
    heads: int
    key_value_heads: int
    head_size: int
    inner: int
    context_length: int
    epsilon: float
    theta: float

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read a `config.json`; None: it is of another architecture, or of a variant of this one."""
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        rope = config.get("rope_parameters") or {"rope_theta": config.get("rope_theta", 10000.0)}
        scaled = rope.get("rope_type", "default") != "default" or config.get("rope_scaling")
        biased = config.get("attention_bias") or config.get("mlp_bias")
        if config["model_type"] != "llama" or config.get("hidden_act", "silu") != "silu" or scaled or biased:
            return None
        heads = config["num_attention_heads"]
        return cls(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=heads,
            key_value_heads=config.get("num_key_value_heads") or heads,
            head_size=config.get("head_dim") or config["hidden_size"] // heads,
            inner=config["intermediate_size"],
            context_length=config["max_position_embeddings"],
            epsilon=config["rms_norm_eps"],
            theta=rope["rope_theta"],
        )


@dataclass(frozen=True, slots=True)
class _Layer:
    attention_norm: Tensor
    queries_keys_values: Linear
    attention_output: Linear
    inner_norm: Tensor
    gate_up: Linear
    down: Linear


class LlamaNetwork:
    """A Llama model with one context; see `Network`. Not to be used by two threads at once."""

    def __init__(self, config: LlamaConfig, weights: Mapping[str, Tensor], precision: Precision) -> None:
        """Take over the weights, by transformers' names."""
        linear: Callable[[Tensor], Linear] = Int8Linear if precision == "int8" else FloatLinear
        self._config = config
        self.context_length = config.context_length
        self.length = 0
        self._embedding = weights["model.embed_tokens.weight"]
        self._head = linear(weights.get("lm_head.weight", self._embedding))
        self._norm = weights["model.norm.weight"]
        self._layers = [_layer(weights, n, linear) for n in range(config.layers)]
        self._cosines, self._sines = _rotations(config)
        self._keys, self._values = self._empty_cache(_FIRST_CAPACITY)

    def forward(self, ids: Sequence[int]) -> Tensor:
        """Append ids; see `Network`."""
        with torch.inference_mode():
            self._reserve(self.length + len(ids))
            rows = self._embedding[torch.tensor(ids)]
            for number, layer in enumerate(self._layers):
                rows = rows + self._attend(number, layer, self._normed(rows, layer.attention_norm))
                gate, up = layer.gate_up(self._normed(rows, layer.inner_norm)).chunk(2, dim=-1)
                rows = rows + layer.down(functional.silu(gate) * up)
            self.length += len(ids)
            return self._head(self._normed(rows[-1:], self._norm))[0]

    def truncate(self, length: int) -> None:
        """Forget later tokens; see `Network`."""
        self.length = min(self.length, length)

    def _attend(self, number: int, layer: _Layer, rows: Tensor) -> Tensor:
        """Attention of new rows over the context; keys and values are written behind it."""
        config, count, end = self._config, len(rows), self.length + len(rows)
        heads = layer.queries_keys_values(rows).view(count, -1, config.head_size).transpose(0, 1)
        turned = self._turn(heads[: config.heads + config.key_value_heads], end)
        self._keys[number, :, self.length : end] = turned[config.heads :]
        self._values[number, :, self.length : end] = heads[config.heads + config.key_value_heads :]
        keys, values = self._keys[number, :, :end], self._values[number, :, :end]
        # Queries that share keys are put in one matrix: nothing is copied, and one product does them.
        group = config.heads // config.key_value_heads
        queries = turned[: config.heads].reshape(config.key_value_heads, group * count, config.head_size)
        scores = queries @ keys.transpose(1, 2) * config.head_size**-0.5
        if count > 1:
            later = torch.ones(count, end, dtype=torch.bool).triu(self.length + 1).repeat(group, 1)
            scores = scores.masked_fill_(later, float("-inf"))
        mixed = (scores.softmax(-1) @ values).view(config.heads, count, config.head_size)
        return layer.attention_output(mixed.transpose(0, 1).reshape(count, -1))

    def _turn(self, heads: Tensor, end: int) -> Tensor:
        """Rotary position embedding (Su et al. 2021, arXiv:2104.09864), halves of a head as pairs."""
        cosines, sines = self._cosines[self.length : end], self._sines[self.length : end]
        first, second = heads.chunk(2, dim=-1)
        return heads * cosines + torch.cat((-second, first), dim=-1) * sines

    def _normed(self, rows: Tensor, weight: Tensor) -> Tensor:
        return functional.rms_norm(rows, (self._config.hidden,), weight, self._config.epsilon)

    def _reserve(self, length: int) -> None:
        capacity = self._keys.shape[2]
        if length > capacity:
            keys, values = self._empty_cache(min(max(length, 2 * capacity), self.context_length))
            keys[:, :, : self.length] = self._keys[:, :, : self.length]
            values[:, :, : self.length] = self._values[:, :, : self.length]
            self._keys, self._values = keys, values

    def _empty_cache(self, capacity: int) -> tuple[Tensor, Tensor]:
        config = self._config
        shape = (config.layers, config.key_value_heads, capacity, config.head_size)
        return torch.empty(shape), torch.empty(shape)


def _layer(weights: Mapping[str, Tensor], number: int, linear: Callable[[Tensor], Linear]) -> _Layer:
    def get(name: str) -> Tensor:
        return weights[f"model.layers.{number}.{name}.weight"]

    attention = [get(f"self_attn.{name}_proj") for name in "qkv"]
    return _Layer(
        attention_norm=get("input_layernorm"),
        queries_keys_values=linear(torch.cat(attention)),
        attention_output=linear(get("self_attn.o_proj")),
        inner_norm=get("post_attention_layernorm"),
        gate_up=linear(torch.cat([get("mlp.gate_proj"), get("mlp.up_proj")])),
        down=linear(get("mlp.down_proj")),
    )


def _rotations(config: LlamaConfig) -> tuple[Tensor, Tensor]:
    exponents = torch.arange(0, config.head_size, 2).float() / config.head_size
    angles = torch.outer(torch.arange(config.context_length).float(), config.theta**-exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()
