"""Texts to vectors by way of word pieces: what all local embedders have in common."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from corpus.errors import ModelError
from corpus.text import encodable

TokenIds = list[int]
LONGEST = 512  # word pieces, for a model that does not say


class Encoder(Protocol):
    """A network that turns word pieces into vectors."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer as it was saved; it is copied, never changed."""

    @property
    def max_tokens(self) -> int:
        """Longest input in word pieces, special tokens included."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def batch_tokens(self) -> int:
        """Word pieces, padding included, that are best given at once."""

    @property
    def query_prompt(self) -> str:
        """What the model was trained to read before a query."""

    @property
    def passage_prompt(self) -> str:
        """What the model was trained to read before a passage."""

    def encode(self, tokens: Sequence[TokenIds], prompt_length: int) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(tokens), dimension); all texts begin with the prompt's tokens."""


class LocalEmbedder:
    """An `Embedder` over a network of this process.

    Nothing changes after loading, so all methods may be called from any thread. A text that contains
    the name of a special token, such as ``[SEP]``, is read as these five characters.
    """

    def __init__(self, encoder: Encoder, *, name: str, weights_sha256: str) -> None:
        self._encoder = encoder
        self._whole = plain_copy(encoder.tokenizer)
        self._cut = plain_copy(encoder.tokenizer)
        self._cut.enable_truncation(encoder.max_tokens)
        self.max_tokens = encoder.max_tokens - len(self.token_spans(encoder.passage_prompt))
        self.dimension = encoder.dimension
        self.name = name
        self.id = f"{name}@{weights_sha256[:12]}"

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a query, shape (len(texts), dimension)."""
        return self._embed(texts, self._encoder.query_prompt)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a passage, shape (len(texts), dimension), in the given order."""
        return self._embed(texts, self._encoder.passage_prompt)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the characters (start, end) of each word piece of the whole text, none cut off."""
        spans: list[tuple[int, int]] = self._whole.encode(encodable(text), add_special_tokens=False).offsets
        return spans

    def _embed(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        encodings = self._cut.encode_batch_fast([encodable(prompt + text) for text in texts])
        tokens: list[TokenIds] = [encoding.ids for encoding in encodings]
        prompt_length = self._prompt_length(prompt)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in batches_by_length([len(ids) for ids in tokens], self._encoder.batch_tokens):
            vectors[batch] = self._encoder.encode([tokens[i] for i in batch], prompt_length)
        return vectors

    def _prompt_length(self, prompt: str) -> int:
        """Count the prompt's tokens and the special ones before it."""
        special: list[int] = self._whole.encode(prompt).special_tokens_mask if prompt else []
        return max((i + 1 for i, is_special in enumerate(special) if not is_special), default=0)


def batches_by_length(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield positions, longest first, so that a batch holds texts of nearly one length."""
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def choose_prompts(prompts: Mapping[str, str | None]) -> tuple[str, str]:
    """Return the prompts of queries and of passages among a model's named ones, as the library does."""
    passages = (prompts.get(name) for name in ("document", "passage", "corpus"))
    return prompts.get("query") or "", next(filter(None, passages), "")


def read_tokenizer(folder: Path) -> Tokenizer:
    """Read a folder's ``tokenizer.json``.

    Raises:
        ModelError: there is none, or it can not be read.
    """
    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ModelError(f"{folder} has no fast tokenizer (tokenizer.json), which offsets need.")
    try:
        return Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more precise
        raise ModelError(f"{file} can not be read: {error}") from error


def plain_copy(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer that neither cuts nor fills up, and reads special tokens' names as plain text."""
    copy = Tokenizer.from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    copy.encode_special_tokens = True
    return copy
