"""The mean of adapters."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from corpus.errors import ModelError
from posttrain.averaging import average_adapters
from rag_service.answering.adapter import CONFIG_FILE, WEIGHTS_FILE


def _adapter(folder: Path, value: float, rows: int = 2) -> Path:
    folder.mkdir()
    save_file({"a": torch.full((rows, 3), value, dtype=torch.float16)}, folder / WEIGHTS_FILE)
    (folder / CONFIG_FILE).write_text(f'{{"r": {rows}}}', encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    return folder


def test_the_mean_has_the_files_of_an_adapter(tmp_path: Path) -> None:
    """Its weights lie between; configuration and tokenizer are those of the first."""
    average_adapters([_adapter(tmp_path / "one", 1.0), _adapter(tmp_path / "two", 2.0)], tmp_path / "mean")
    assert load_file(tmp_path / "mean" / WEIGHTS_FILE)["a"].eq(1.5).all()
    assert {path.name for path in (tmp_path / "mean").iterdir()} == {
        WEIGHTS_FILE,
        CONFIG_FILE,
        "tokenizer.json",
    }


def test_adapters_of_other_shapes_have_no_mean(tmp_path: Path) -> None:
    """Neither has a single one."""
    one, other = _adapter(tmp_path / "one", 1.0), _adapter(tmp_path / "other", 2.0, rows=4)
    with pytest.raises(ModelError, match="other ranks"):
        average_adapters([one, other], tmp_path / "mean")
    with pytest.raises(ModelError, match="two adapters"):
        average_adapters([one], tmp_path / "mean")
