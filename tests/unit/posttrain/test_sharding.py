"""Weights in several files, none larger than asked for."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from posttrain.sharding import write_shards


def _tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {f"layer.{n}": torch.randn(8, 16) for n in range(5)} | {"places": torch.arange(4)}


def test_files_are_cut_below_the_limit_and_hold_all(tmp_path: Path) -> None:
    """Two matrices of 256 bytes a file, in their order, with the names that transformers gives parts."""
    tensors = _tensors()
    paths = write_shards(tensors, tmp_path / "new", "adapter_model", most=600)
    assert [path.name for path in paths] == [
        "adapter_model-00001-of-00003.safetensors",
        "adapter_model-00002-of-00003.safetensors",
        "adapter_model-00003-of-00003.safetensors",
    ]
    parts = [load_file(path) for path in paths]
    assert all(sum(tensor.nbytes for tensor in part.values()) <= 600 for part in parts)
    read = {name: tensor for part in parts for name, tensor in part.items()}
    assert sum(map(len, parts)) == len(tensors)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensors[name].half()) for name in tensors if name != "places")
    assert torch.equal(read["places"], tensors["places"])  # whole numbers stay as they are


def test_what_fits_is_one_file_with_its_usual_name(tmp_path: Path) -> None:
    """No number in its name, so that whoever knows of no parts reads it too."""
    (path,) = write_shards(_tensors(), tmp_path, "model", dtype=torch.bfloat16)
    assert path == tmp_path / "model.safetensors"
    assert load_file(path)["layer.0"].dtype == torch.bfloat16


def test_a_tensor_larger_than_a_file_stands_alone(tmp_path: Path) -> None:
    """It can not be cut; its neighbours are not made larger by it."""
    tensors = {"a": torch.ones(4), "large": torch.ones(400), "b": torch.ones(4)}
    paths = write_shards(tensors, tmp_path, "model", most=100)
    assert [list(load_file(path)) for path in paths] == [["a"], ["large"], ["b"]]
