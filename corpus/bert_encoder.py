"""BERT-like sentence encoders on a CPU, as all-MiniLM-L6-v2 is one.

Gives the vectors that sentence-transformers gives for the same folder (Devlin et al. 2019,
arXiv:1810.04805; pooling as in Reimers and Gurevych 2019, arXiv:1908.10084), with three differences in
how: a batch is one row of tokens without padding, its products are those of `corpus.linear` and so in
eight bits where the CPU adds these exactly, and nothing of sentence-transformers and transformers is
imported, which takes longer than to load the weights.
"""

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from corpus.linear import FloatLinear, Int8Linear, Linear, Scratch, int8_is_exact
from corpus.text_encoding import LONGEST, TokenIds, choose_prompts, read_tokenizer

Precision = Literal["auto", "float32", "int8"]
Pooling = Literal["mean", "cls"]
_LINE = 16  # floats of a cache line: products of rows that begin elsewhere are slower, and round otherwise
_ROWS_AT_ONCE = 128
_FURTHEST = 128  # tokens apart; all further are alike
_MOST_KEPT = 1 << 23  # floats that a network keeps between two batches; 32 MB
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
class _Norm:
    weight: Tensor
    bias: Tensor
    epsilon: float

    def into(self, out: Tensor, rows: Tensor) -> Tensor:
        """Write the normalised rows; torch does it only into memory of its own, so a few at a time."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some, own = rows[start : start + _ROWS_AT_ONCE], out[start : start + _ROWS_AT_ONCE]
            own.copy_(functional.layer_norm(some, self.weight.shape, self.weight, self.bias, self.epsilon))
        return out


@dataclass(frozen=True, slots=True)
class _Layer:
    projections: Linear  # queries, keys and values in one product
    projection_bias: Tensor
    output: Linear
    output_bias: Tensor
    after_attention: _Norm
    widen: Linear
    widen_bias: Tensor
    narrow: Linear
    narrow_bias: Tensor
    after_network: _Norm


class _Rooms:
    """The memory of one batch, taken at once and used again by each layer.

    `projected`, `read` and `thought` lie in one place: none is needed beside another.
    """

    def __init__(self, memory: Tensor, tokens: int, width: int, inner: int) -> None:
        """`memory`: as many floats as `size` says, or more."""
        parts = self._parts(tokens, width, inner)
        floats, whole, wide, narrow, hidden = torch.split(memory[: sum(parts)], parts)

        def rows(room: Tensor, columns: int) -> Tensor:
            return room[: tokens * columns].view(tokens, columns)

        self.scratch = Scratch(floats, whole.view(torch.int8))
        self.projected, self.read, self.thought = rows(wide, 3 * width), rows(wide, width), rows(wide, inner)
        self.narrow, self.hidden = rows(narrow, width), rows(hidden, width)

    @classmethod
    def size(cls, tokens: int, width: int, inner: int) -> int:
        """Return how many floats such a batch needs."""
        return sum(cls._parts(tokens, width, inner))

    @staticmethod
    def _parts(tokens: int, width: int, inner: int) -> list[int]:
        wide, narrow = tokens * max(3 * width, inner), tokens * width
        return [-(-part // _LINE) * _LINE for part in (wide, -(-wide // 4), wide, narrow, narrow)]


class BertNetwork:
    """The layers of a BERT model over rows of tokens without padding.

    MPNet is one too, without kinds of text and with a bias by distance.
    """

    def __init__(
        self, tensors: Mapping[str, Tensor], config: BertConfig, *, precision: Precision = "auto"
    ) -> None:
        """`tensors` have their names in `BertModel`."""
        self._config = config
        weights = _Weights(tensors, precision)
        self._words = weights["embeddings.word_embeddings.weight"]
        self._positions = weights["embeddings.position_embeddings.weight"]
        self._first_norm = weights.norm("embeddings.LayerNorm", config.epsilon)
        self._layers = [_read_layer(weights, f"encoder.layer.{i}", config) for i in range(config.layers)]
        by_distance = weights.maybe("encoder.relative_attention_bias.weight")
        self._nearness = None if by_distance is None else _nearness(by_distance, len(self._positions))
        self._kinds = weights["embeddings.token_type_embeddings.weight"] if by_distance is None else None
        self.dimension = self._words.shape[1]
        self._inner = len(self._layers[0].widen_bias)
        self._spare: deque[Tensor] = deque(maxlen=1)  # the last batch's memory: new one has to be cleared

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
            with self._rooms(len(ids)) as rooms:
                self._embed(rooms, ids, places, kinds)
                for layer in self._layers:
                    self._go_through(layer, lengths, rooms)
                return torch.split(rooms.hidden.clone(), lengths)

    def _embed(self, rooms: _Rooms, ids: Tensor, places: Tensor, kinds: Tensor) -> None:
        total, other = rooms.narrow, rooms.read
        torch.index_select(self._words, 0, ids, out=total)
        for table, rows in ((self._positions, places), (self._kinds, kinds)):
            if table is not None:
                total.add_(torch.index_select(table, 0, rows, out=other))
        self._first_norm.into(rooms.hidden, total)

    @contextmanager
    def _rooms(self, tokens: int) -> Iterator[_Rooms]:
        """Lend the spare memory, or new if another thread has it or it is too small."""
        size = _Rooms.size(tokens, self.dimension, self._inner)
        try:
            memory = self._spare.pop()
        except IndexError:
            memory = torch.empty(size)
        if len(memory) < size:
            memory = torch.empty(size)
        yield _Rooms(memory, tokens, self.dimension, self._inner)
        if len(memory) <= _MOST_KEPT:
            self._spare.append(memory)

    def _go_through(self, layer: _Layer, lengths: Sequence[int], rooms: _Rooms) -> None:
        hidden, narrow, scratch = rooms.hidden, rooms.narrow, rooms.scratch
        layer.projections.into(rooms.projected, hidden, layer.projection_bias, scratch)
        self._attend(narrow, rooms.projected, lengths)
        read = layer.output.into(rooms.read, narrow, layer.output_bias, scratch)
        layer.after_attention.into(hidden, read.add_(hidden))
        thought = layer.widen.into(rooms.thought, hidden, layer.widen_bias, scratch)
        torch.ops.aten.gelu_(thought)
        said = layer.narrow.into(narrow, thought, layer.narrow_bias, scratch)
        layer.after_network.into(hidden, said.add_(hidden))

    def _attend(self, out: Tensor, projected: Tensor, lengths: Sequence[int]) -> None:
        """Let the tokens of each text read each other; (tokens, 3 * hidden) to (tokens, hidden)."""
        start = 0
        for length, same in groupby(lengths):
            texts = len(list(same))
            end = start + texts * length
            parts = projected[start:end].view(texts, length, 3, self._config.heads, -1).permute(2, 0, 3, 1, 4)
            queries, keys, values = parts.unbind()
            nearness = None if self._nearness is None else self._nearness[:, :length, :length]
            read = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=nearness)
            out[start:end].view(texts, length, self._config.heads, -1).copy_(read.transpose(1, 2))
            start = end


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

    def maybe(self, name: str) -> Tensor | None:
        """Return a tensor that only some models have."""
        return self._tensors[name].float() if name in self._tensors else None

    def linear(self, *names: str) -> tuple[Linear, Tensor]:
        """Return the product with some matrices one below the other, and their biases."""
        weight = torch.cat([self[f"{name}.weight"] for name in names])
        bias = torch.cat([self[f"{name}.bias"] for name in names])
        return (FloatLinear(weight) if self._exact else Int8Linear(weight)), bias

    def norm(self, name: str, epsilon: float) -> _Norm:
        return _Norm(self[f"{name}.weight"], self[f"{name}.bias"], epsilon)


def _nearness(by_distance: Tensor, longest: int) -> Tensor:
    """Return what is added to each attention score, (heads, longest, longest), by how far apart tokens are.

    `by_distance` is a table (kinds of distance, heads), half for what stands before: each of the nearest
    has a kind of its own, further ones share them by the logarithm (Raffel et al. 2020, arXiv:1910.10683,
    section 2.1; MPNet, Song et al. 2020, arXiv:2004.09297, has it too).
    """
    places = torch.arange(longest)
    distance = places[None, :] - places[:, None]
    half = len(by_distance) // 2
    near, far = half // 2, distance.abs()
    beyond = torch.log(far.clamp_min(1) / near) / math.log(_FURTHEST / near) * (half - near)
    kind = torch.where(far < near, far, (near + beyond.long()).clamp_max(half - 1))
    return by_distance[kind + half * (distance > 0)].permute(2, 0, 1).contiguous()


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
