"""Kept activations: what enters the first layer that learns, computed once for every example.

Because packed examples do not attend to each other, an example's activations are the same in every
row, and on every epoch. They are kept in float16, 2 bytes a number: 1.1 KB a token at 576 dimensions.
"""

import json
import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posttrain.examples import Example, Row, batch_of
from posttrain.trainee import Trainee


class Activations:
    """The hidden states of all examples one after the other, in a memory-mapped file."""

    def __init__(self, states: NDArray[np.float16], starts: dict[Example, int]) -> None:
        self._states = states
        self._starts = starts

    def of(self, row: Row) -> Tensor:
        """Return a row's states, shape (1, length, hidden), in float32."""
        spans = ((self._starts[example], len(example.ids)) for example in row.examples)
        joined = np.concatenate([self._states[start : start + length] for start, length in spans])
        return torch.from_numpy(joined.astype(np.float32))[None]


def keep_activations(
    trainee: Trainee,
    examples: Sequence[Example],
    folder: Path,
    *,
    fingerprint: str,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Activations:
    """Compute the examples' activations, or take those of an earlier run of the same work.

    `fingerprint` names the base model. The file gets its name when it is whole, so a crash costs the
    computation but never leaves half of it to be trusted.
    """
    unique = list(dict.fromkeys(examples))
    starts, total = _layout(unique)
    name = f"layer{trainee.first_layer}-{_key(unique, fingerprint)}.npy"
    path = folder / name
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(name + ".part")
        _compute(trainee, unique, draft, total, progress)
        draft.replace(path)
    return Activations(np.load(path, mmap_mode="r"), starts)


def _layout(examples: Sequence[Example]) -> tuple[dict[Example, int], int]:
    starts: dict[Example, int] = {}
    total = 0
    for example in examples:
        starts[example] = total
        total += len(example.ids)
    return starts, total


def _compute(
    trainee: Trainee,
    examples: Sequence[Example],
    path: Path,
    total: int,
    progress: Callable[[int, int], None],
) -> None:
    states: NDArray[np.float16] | None = None
    done = 0
    for example in examples:
        hidden = trainee.lower(batch_of(Row((example,))))[0].to(torch.float16).cpu().numpy()
        if states is None:
            shape = (total, hidden.shape[1])
            states = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
        states[done : done + len(hidden)] = hidden
        done += len(hidden)
        progress(done, total)
    del states  # unmapping writes the last pages
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _key(examples: Sequence[Example], fingerprint: str) -> str:
    digest = blake2b(fingerprint.encode(), digest_size=12)
    for example in examples:
        digest.update(json.dumps(example.ids).encode())
    return digest.hexdigest()
