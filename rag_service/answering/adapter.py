"""Merges a LoRA adapter (Hu et al. 2021, arXiv:2106.09685) into a model's weights while loading.

The files are PEFT's: `adapter_config.json` and `adapter_model.safetensors`, or its parts
(`adapter_model-00001-of-00003.safetensors`) where one file would be too large for a repository.
Merging is one product a matrix, so it is done here; PEFT itself is needed for training only. Besides
the low-rank pairs an adapter may hold rows of the embedding (`trainable_tokens_delta`, which despite its
name holds the new values) and whole tensors that take the place of the model's.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from corpus.errors import ModelError, ModelHashMismatch, ModelNotFound
from rag_service.answering.model_files import sha256_of

CONFIG_FILE = "adapter_config.json"
WEIGHTS_STEM = "adapter_model"
WEIGHTS_FILE = f"{WEIGHTS_STEM}.safetensors"
_PART = re.compile(rf"{WEIGHTS_STEM}-\d+-of-(\d+)\.safetensors")
_PREFIX = "base_model.model."
_TOKENS = ".token_adapter.trainable_tokens_delta"
_REFUSED_OPTIONS = ("use_dora", "fan_in_fan_out", "lora_bias", "rank_pattern", "alpha_pattern")


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter's tensors by the names that PEFT gives them, and how they are merged.

    `tokens` are the rows of the embedding that `trainable_tokens_delta` sets. `reads` is false if the
    configuration says so: evaluated, its words about passages were not to be trusted.
    """

    tensors: Mapping[str, Tensor]
    scale: float
    tokens: tuple[int, ...]
    sha256: str
    reads: bool = True


def load_adapter(folder: Path, *, base_sha256: str) -> Adapter:
    """Read an adapter.

    Its configuration may name the weights that it was trained on, as `base_sha256`.

    Raises:
        ModelNotFound: the folder lacks a file.
        ModelHashMismatch: it was trained on other weights.
        ModelError: it is of a kind that is not merged here, or damaged.
    """
    files = [*weights_files(folder), folder / CONFIG_FILE]
    if missing := [file.name for file in files if not file.is_file()]:
        raise ModelNotFound(f"The adapter {folder} lacks {', '.join(missing)}; correct RAG_ADAPTER.")
    try:
        config = json.loads(files[-1].read_text(encoding="utf-8"))
        tensors = read_weights(folder)
    except (ValueError, SafetensorError) as error:
        raise ModelError(f"The adapter {folder} is damaged ({error}); get it again.") from error
    if config.get("peft_type") != "LORA" or any(config.get(option) for option in _REFUSED_OPTIONS):
        raise ModelError(f"The adapter {folder} is no plain LoRA; merge it into the model with PEFT instead.")
    if config.get("base_sha256", base_sha256) != base_sha256:
        raise ModelHashMismatch(f"The adapter {folder} was trained on another model; correct RAG_CHAT_MODEL.")
    tokenizer = folder / "tokenizer.json"
    return Adapter(
        tensors=tensors,
        scale=_scale(config),
        tokens=_token_rows(config.get("trainable_token_indices")),
        sha256=sha256_of(*files, *([tokenizer] if tokenizer.is_file() else [])),
        reads=bool(config.get("reads", True)),
    )


def weights_files(folder: Path) -> list[Path]:
    """Return the files that an adapter's weights are in: one, or all of its parts, which may be missing."""
    parts = {match[0]: int(match[1]) for path in folder.glob("*") if (match := _PART.fullmatch(path.name))}
    if not parts or (folder / WEIGHTS_FILE).is_file():
        return [folder / WEIGHTS_FILE]
    count = max(parts.values())
    return [
        folder / f"{WEIGHTS_STEM}-{number:05d}-of-{count:05d}.safetensors" for number in range(1, count + 1)
    ]


def read_weights(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of an adapter's files.

    Raises:
        SafetensorError, OSError: a file is damaged or missing.
    """
    return {name: tensor for file in weights_files(folder) for name, tensor in load_file(file).items()}


def merge(adapter: Adapter, weights: dict[str, Tensor]) -> None:
    """Add the adapter to `weights`, in place.

    Raises:
        ModelError: it has a tensor that the model has no place for.
    """
    for name, tensor in adapter.tensors.items():
        target = name.removeprefix(_PREFIX)
        if target.endswith(".lora_A.weight"):
            weight_name = target.replace(".lora_A.", ".")
            up = adapter.tensors.get(name.replace(".lora_A.", ".lora_B."))
            if up is None or weight_name not in weights:
                raise ModelError(f"The adapter's {name} does not fit the model; correct RAG_CHAT_MODEL.")
            weights[weight_name] = _sum(weights[weight_name], up, tensor, adapter.scale)
        elif target.endswith(_TOKENS):
            weight_name = target.removesuffix(_TOKENS) + ".weight"
            weights[weight_name] = _with_rows(weights[weight_name], adapter.tokens, tensor)
        elif not target.endswith(".lora_B.weight"):
            weight_name = target.replace(".base_layer.", ".")
            if weight_name not in weights:
                raise ModelError(f"The adapter's {name} does not fit the model; correct RAG_CHAT_MODEL.")
            weights[weight_name] = tensor.float()


def _scale(config: Mapping[str, object]) -> float:
    rank, alpha = float(str(config.get("r", 0))), float(str(config.get("lora_alpha", 0)))
    if rank <= 0:
        raise ModelError("The adapter's rank r must be above 0; get the adapter again.")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _token_rows(value: object) -> tuple[int, ...]:
    """PEFT has a list, or a dictionary from the embedding's name to a list."""
    if isinstance(value, dict):
        lists = list(value.values())
        value = lists[0] if lists else []
    return tuple(int(item) for item in value) if isinstance(value, list) else ()


def _sum(weight: Tensor, up: Tensor, down: Tensor, scale: float) -> Tensor:
    return weight + scale * (up.float() @ down.float())


def _with_rows(embedding: Tensor, rows: tuple[int, ...], values: Tensor) -> Tensor:
    """Set rows; new tokens lengthen the matrix."""
    if len(rows) != len(values):
        raise ModelError("The adapter names more or fewer tokens than it has rows for; get it again.")
    grown = max(embedding.shape[0], *(row + 1 for row in rows))
    result = torch.zeros(grown, embedding.shape[1])
    result[: embedding.shape[0]] = embedding
    result[list(rows)] = values.float()
    return result
