"""Matrices in four bits a number, for files: a quarter of half precision, at little loss for a reader.

Each 32 numbers of a row share a scale in half precision, and each is one of 16 levels of it, as in GGUF's
Q4_0. They are for keeping and sending: what computes makes floats of them first.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

GROUP = 32  # numbers with one scale
FOUR, SCALES = ".four", ".scales"  # behind a tensor's name
_HIGHEST = 7
_ZERO = 8  # the level that means 0


def packs(tensor: Tensor) -> bool:
    """Whether it is a matrix whose rows are whole groups."""
    return tensor.ndim == 2 and tensor.shape[1] % GROUP == 0  # noqa: PLR2004 - a matrix has two


def pack(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """Return a matrix (rows, columns) as its levels (rows, columns / 2), two a byte, and its scales."""
    groups = tensor.float().reshape(len(tensor), -1, GROUP)
    scales = (groups.abs().amax(-1) / _HIGHEST).clamp_min(1e-7).half()
    levels = (groups / scales.float()[..., None]).round_().clamp_(-_ZERO, _HIGHEST) + _ZERO
    whole = levels.to(torch.uint8).reshape(len(tensor), -1)
    return {name + FOUR: whole[:, ::2] | (whole[:, 1::2] << 4), name + SCALES: scales}


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with every packed matrix as floats again, under its own name; without scales none."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        plain = name.removesuffix(FOUR)
        if plain != name and plain + SCALES in tensors:
            found[plain] = _matrix(tensor, tensors[plain + SCALES])
        elif not name.endswith((FOUR, SCALES)):
            found[name] = tensor
    return found


def _matrix(bytes_: Tensor, scales: Tensor) -> Tensor:
    levels = torch.stack((bytes_ & 15, bytes_ >> 4), dim=-1).reshape(len(bytes_), -1, GROUP)
    return ((levels.float() - _ZERO) * scales.float()[..., None]).reshape(len(bytes_), -1)
