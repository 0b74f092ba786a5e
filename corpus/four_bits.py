"""Matrices in four bits a number, for files: a quarter of half precision, at little loss for a reader.

Each 32 numbers of a row share a scale in half precision, and each is one of 15 levels of it, as far below
nothing as above. They are for keeping and sending: what computes makes floats of them first.
"""

from collections.abc import Iterator, Mapping

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


class Unpacking(Mapping[str, Tensor]):
    """Tensors by name, each packed matrix as floats under its own: made when it is asked for, and not kept.

    All at once they would be eight times the file. A matrix without its scales is not there.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = tensors
        plain = [name for name in tensors if not name.endswith((FOUR, SCALES))]
        packed = [name.removesuffix(FOUR) for name in tensors if name.endswith(FOUR)]
        self._names = dict.fromkeys([*plain, *(name for name in packed if name + SCALES in tensors)])

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor."""
        if name not in self._names:
            raise KeyError(name)
        if name in self._tensors:
            return self._tensors[name]
        return _matrix(self._tensors[name + FOUR], self._tensors[name + SCALES])

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._names)


def _matrix(bytes_: Tensor, scales: Tensor) -> Tensor:
    levels = torch.stack((bytes_ & 15, bytes_ >> 4), dim=-1).reshape(len(bytes_), -1, GROUP)
    return levels.float().sub_(_ZERO).mul_(scales.float()[..., None]).reshape(len(bytes_), -1)
