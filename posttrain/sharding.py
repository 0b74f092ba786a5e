"""Weights in files that a repository may hold."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

SHARD_BYTES = 15_000_000


def write_shards(
    tensors: Mapping[str, Tensor],
    folder: Path,
    stem: str,
    *,
    dtype: torch.dtype = torch.float16,
    most: int = SHARD_BYTES,
) -> list[Path]:
    """Write tensors to `stem.safetensors`, or where that would be too large to `stem-00001-of-00003…`.

    Floating-point tensors become `dtype`; the names of files are those that transformers gives shards.
    """
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        narrow = tensor.to(dtype) if tensor.is_floating_point() else tensor
        if shards[-1] and sum(each.nbytes for each in shards[-1].values()) + narrow.nbytes > most:
            shards.append({})
        shards[-1][name] = narrow.cpu().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    for former in folder.glob(f"{stem}*.safetensors"):  # parts of another count would be read along
        former.unlink()
    count = len(shards)
    names = [f"{stem}-{number:05d}-of-{count:05d}" for number in range(1, count + 1)] if count > 1 else [stem]
    paths = [folder / f"{name}.safetensors" for name in names]
    for path, shard in zip(paths, shards, strict=True):
        save_file(shard, path, metadata={"format": "pt"})
    return paths
