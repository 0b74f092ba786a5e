"""The mean of several adapters that went on from the same one: often better than each of them.

A uniform soup (Wortsman et al. 2022, arXiv:2203.05482, section 2). The low-rank factors are averaged, not
their products, so that the rank stays: near one starting point the two differ little.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from corpus.errors import ModelError
from rag_service.answering.adapter import CONFIG_FILE, WEIGHTS_FILE, read_weights


def average_adapters(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of the adapters' weights to `out`, with the first one's configuration and tokenizer.

    Raises:
        ModelError: there are fewer than two, or they have other ranks, scales, layers or tokens.
    """
    if len(folders) < 2:  # noqa: PLR2004 - a mean is of two or more
        raise ModelError("A mean is taken of two adapters or more; name their folders.")
    adapters = [read_weights(folder) for folder in folders]
    forms = [_form_of(folder, weights) for folder, weights in zip(folders, adapters, strict=True)]
    if any(each != forms[0] for each in forms):
        raise ModelError(
            "The adapters have other ranks, layers or tokens; only runs of one start have a mean."
        )
    mean = {name: torch.stack([each[name].float() for each in adapters]).mean(0) for name in adapters[0]}
    out.mkdir(parents=True, exist_ok=True)
    for name in (CONFIG_FILE, "tokenizer.json"):
        if (folders[0] / name).is_file() and folders[0].resolve() != out.resolve():
            shutil.copyfile(folders[0] / name, out / name)
    save_file(mean, out / WEIGHTS_FILE)


def _form_of(folder: Path, weights: Mapping[str, Tensor]) -> object:
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    shapes = {name: tensor.shape for name, tensor in weights.items()}
    return shapes, [config.get(name) for name in ("r", "lora_alpha", "use_rslora", "trainable_token_indices")]
