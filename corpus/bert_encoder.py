"""BERT-like sentence encoders on a CPU, as all-MiniLM-L6-v2 is one.

Gives the vectors that sentence-transformers gives for the same folder (Devlin et al. 2019,
arXiv:1810.04805; pooling as in Reimers and Gurevych 2019, arXiv:1908.10084), with three differences in
how: a batch is one row of tokens without padding, its products are those of `corpus.linear` and so in
eight bits where the CPU adds these exactly, and nothing of sentence-transformers and transformers is
imported, which takes longer than to load the weights.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from corpus.errors import ModelError
from corpus.linear import FloatLinear, Int8Linear, Linear, int8_is_exact
from corpus.text_encoding import LONGEST, TokenIds, choose_prompts, read_tokenizer

Precision = Literal["auto", "float32", "int8"]
Pooling = Literal["mean", "cls"]
_STEPS = ["Transformer", "Pooling", "Normalize"]  # the last one may be missing: vectors are normalised anyway


@dataclass(frozen=True, slots=True)
class BertConfig:
    """The numbers of one sentence encoder."""

    layers: int
    heads: int
    epsilon: float
    max_tokens: int
    pooling: Pooling
    query_prompt: str
    passage_prompt: str

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read it from a sentence-transformers folder; None: it is of another kind."""
        network, steps = _read_json(folder / "config.json"), _read_json(folder / "modules.json")
        kinds = [step["type"].rsplit(".", 1)[-1] for step in steps]
        if kinds not in (_STEPS, _STEPS[:2]) or steps[0]["path"] or not _is_plain_bert(network):
            return None
        pooling = _pooling(_read_json(folder / steps[1]["path"] / "config.json"))
        reading = _read_json(folder / "sentence_bert_config.json")
        if pooling is None or reading.get("do_lower_case"):
            return None
        prompts = _read_json(folder / "config_sentence_transformers.json").get("prompts") or {}
        query_prompt, passage_prompt = choose_prompts(prompts)
        saved = _read_json(folder / "tokenizer_config.json").get("model_max_length")
        longest = reading.get("max_seq_length") or saved or LONGEST
        return cls(
            layers=network["num_hidden_layers"],
            heads=network["num_attention_heads"],
            epsilon=network["layer_norm_eps"],
            max_tokens=min(longest, network["max_position_embeddings"]),
            pooling=pooling,
            query_prompt=query_prompt,
            passage_prompt=passage_prompt,
        )


@dataclass(frozen=True, slots=True)
class _Layer:
    projections: Linear  # queries, keys and values in one product
    projection_bias: Tensor
    output: Linear
    output_bias: Tensor
    after_attention: Callable[[Tensor], Tensor]
    widen: Linear
    widen_bias: Tensor
    narrow: Linear
    narrow_bias: Tensor
    after_network: Callable[[Tensor], Tensor]


class BertNetwork:
    """The layers of a BERT model over rows of tokens without padding."""

    def __init__(
        self, tensors: Mapping[str, Tensor], config: BertConfig, *, precision: Precision = "auto"
    ) -> None:
        """`tensors` have their names in `BertModel`."""
        self._config = config
        weights = _Weights(tensors, precision)
        self._words = weights["embeddings.word_embeddings.weight"]
        self._kinds = weights["embeddings.token_type_embeddings.weight"]
        self._positions = weights["embeddings.position_embeddings.weight"]
        self._first_norm = weights.norm("embeddings.LayerNorm", config.epsilon)
        self._layers = [_read_layer(weights, f"encoder.layer.{i}", config) for i in range(config.layers)]
        self.dimension = self._words.shape[1]

    def hidden(self, tokens: Sequence[TokenIds], seconds: Sequence[int] | None = None) -> tuple[Tensor, ...]:
        """Return each text's states of the last layer, shape (its length, dimension).

        In a pair of texts, the second begins at token `seconds` of its row.
        """
        lengths = [len(ids) for ids in tokens]
        with torch.inference_mode():
            ids = torch.tensor([token for text in tokens for token in text])
            places = torch.cat([torch.arange(length) for length in lengths])
            firsts = torch.tensor(lengths if seconds is None else list(seconds))
            kinds = (places >= firsts.repeat_interleave(torch.tensor(lengths))).long()
            hidden = self._first_norm(self._words[ids] + self._positions[places] + self._kinds[kinds])
            for layer in self._layers:
                hidden = self._through(layer, hidden, lengths)
            return torch.split(hidden, lengths)

    def _through(self, layer: _Layer, hidden: Tensor, lengths: Sequence[int]) -> Tensor:
        projected = layer.projections(hidden).add_(layer.projection_bias)
        attended = torch.cat([self._attend(group) for group in _equally_long(projected, lengths)])
        hidden = layer.after_attention(layer.output(attended).add_(layer.output_bias).add_(hidden))
        wide = functional.gelu(layer.widen(hidden).add_(layer.widen_bias))
        return layer.after_network(layer.narrow(wide).add_(layer.narrow_bias).add_(hidden))

    def _attend(self, projected: Tensor) -> Tensor:
        """Let the tokens of each text read each other; (texts, length, 3 * hidden) to (tokens, hidden)."""
        texts, length, _ = projected.shape
        parts = projected.view(texts, length, 3, self._config.heads, -1).permute(2, 0, 3, 1, 4)
        queries, keys, values = parts.unbind()
        read = functional.scaled_dot_product_attention(queries, keys, values)
        return read.transpose(1, 2).reshape(texts * length, -1)


class BertEncoder:
    """A sentence encoder of the BERT family, from a sentence-transformers folder."""

    batch_tokens = 1024  # activations then stay in a core's cache; benchmarks/embedding.py has other sizes

    def __init__(self, folder: Path, config: BertConfig, *, precision: Precision = "auto") -> None:
        self._config = config
        self.tokenizer = read_tokenizer(folder)
        self.max_tokens = config.max_tokens
        self.query_prompt, self.passage_prompt = config.query_prompt, config.passage_prompt
        self._network = BertNetwork(read_tensors(folder / "model.safetensors"), config, precision=precision)
        self.dimension = self._network.dimension

    def encode(self, tokens: Sequence[TokenIds], prompt_length: int) -> NDArray[np.float32]:  # noqa: ARG002 - poolings that leave the prompt out are not of this class
        """Return unit vectors, shape (len(tokens), dimension)."""
        with torch.inference_mode():
            pooled = torch.stack([self._pool(text) for text in self._network.hidden(tokens)])
            unit: NDArray[np.float32] = functional.normalize(pooled, dim=1).numpy()
        return unit

    def _pool(self, text: Tensor) -> Tensor:
        return text.mean(0) if self._config.pooling == "mean" else text[0]


def read_tensors(file: Path) -> dict[str, Tensor]:
    """Read a file's tensors by their names in `BertModel`.

    Raises:
        ModelError: the file can not be read.
    """
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file} can not be read: {error}") from error
    return {name.removeprefix("bert."): tensor for name, tensor in tensors.items()}


class _Weights:
    """Tensors in float32, under their names in `BertModel`."""

    def __init__(self, tensors: Mapping[str, Tensor], precision: Precision) -> None:
        self._tensors = tensors
        self._exact = precision == "float32" or (precision == "auto" and not int8_is_exact())

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._tensors:
            raise ModelError(f"The weights lack {name}, which a BERT model has.")
        return self._tensors[name].float()

    def linear(self, *names: str) -> tuple[Linear, Tensor]:
        """Return the product with some matrices one below the other, and their biases."""
        weight = torch.cat([self[f"{name}.weight"] for name in names])
        bias = torch.cat([self[f"{name}.bias"] for name in names])
        return (FloatLinear(weight) if self._exact else Int8Linear(weight)), bias

    def norm(self, name: str, epsilon: float) -> Callable[[Tensor], Tensor]:
        weight, bias = self[f"{name}.weight"], self[f"{name}.bias"]
        return lambda rows: functional.layer_norm(rows, weight.shape, weight, bias, epsilon)


def _read_layer(weights: _Weights, name: str, config: BertConfig) -> _Layer:
    attention = f"{name}.attention.self"
    return _Layer(
        *weights.linear(f"{attention}.query", f"{attention}.key", f"{attention}.value"),
        *weights.linear(f"{name}.attention.output.dense"),
        weights.norm(f"{name}.attention.output.LayerNorm", config.epsilon),
        *weights.linear(f"{name}.intermediate.dense"),
        *weights.linear(f"{name}.output.dense"),
        weights.norm(f"{name}.output.LayerNorm", config.epsilon),
    )


def _equally_long(rows: Tensor, lengths: Sequence[int]) -> Iterator[Tensor]:
    """Yield neighbouring texts of one length, shape (texts, length, columns)."""
    start = 0
    for length, same in groupby(lengths):
        texts = len(list(same))
        yield rows[start : start + texts * length].view(texts, length, -1)
        start += texts * length


def _is_plain_bert(network: Mapping[str, object]) -> bool:
    return (
        network.get("model_type") == "bert"
        and network.get("hidden_act") == "gelu"
        and network.get("position_embedding_type", "absolute") == "absolute"
    )


def _pooling(config: Mapping[str, object]) -> Pooling | None:
    """Read how a text's tokens become one vector; older folders have a flag for each way."""
    modes = {name.removeprefix("pooling_mode_") for name, value in config.items() if value is True}
    modes = {str(config.get("pooling_mode") or "")} | (modes - {"include_prompt"}) - {""}
    if not config.get("include_prompt", True):
        return None
    if modes <= {"", "mean", "mean_tokens"}:
        return "mean"
    return "cls" if modes <= {"", "cls", "cls_token"} else None


def _read_json(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return what a file says, nothing if it is not there."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
