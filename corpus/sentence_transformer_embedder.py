"""An embedder from a sentence-transformers folder."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers.utils import logging

from corpus.errors import ModelError
from corpus.text import encodable

# On two cores 4 to 64 texts a batch are equally fast; few tokens keep memory small.
BATCH_TOKENS = 4096
_LONGEST = 512  # of a model that does not say


class SentenceTransformerEmbedder:
    """Any sentence-transformers model with a fast tokenizer, from a local folder; no network.

    Texts go through the model's own modules, but not through its `encode`: that one changes the
    tokenizer's settings on each call, which two threads can not do at once. Here nothing changes after
    loading, so all methods may be called from any thread. A text that contains the name of a special
    token, such as ``[SEP]``, is read as these five characters.
    """

    def __init__(self, folder: Path, *, name: str, weights_sha256: str) -> None:
        self._model = _load_model(folder)
        self._device = self._model.device
        self._pad_id = int(self._model.tokenizer.pad_token_id or 0)
        self._has_segments = "token_type_ids" in self._model.tokenizer.model_input_names
        self._whole = _independent_tokenizer(self._model)
        self._cut = _independent_tokenizer(self._model)
        longest = self._model.max_seq_length or _LONGEST
        self._cut.enable_truncation(longest)
        self._query_prompt = self._model.prompts.get("query") or ""
        self._passage_prompt = self._model.prompts.get("document") or ""
        self.max_tokens = longest - len(self.token_spans(self._passage_prompt))
        self.dimension = self._forward([[self._pad_id]], 0).shape[1]
        self.name = name
        self.id = f"{name}@{weights_sha256[:12]}"

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a query, shape (len(texts), dimension)."""
        return self._embed(texts, self._query_prompt)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a passage, shape (len(texts), dimension), in the given order."""
        return self._embed(texts, self._passage_prompt)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the characters (start, end) of each word piece of the whole text, none cut off."""
        spans: list[tuple[int, int]] = self._whole.encode(encodable(text), add_special_tokens=False).offsets
        return spans

    def _embed(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        encodings = self._cut.encode_batch_fast([encodable(prompt + text) for text in texts])
        tokens: list[list[int]] = [encoding.ids for encoding in encodings]
        prompt_length = self._prompt_length(prompt)
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for batch in _batches_by_length([len(ids) for ids in tokens]):
            vectors[batch] = self._forward([tokens[i] for i in batch], prompt_length)
        return vectors

    def _forward(self, tokens: list[list[int]], prompt_length: int) -> NDArray[np.float32]:
        width = max(len(ids) for ids in tokens)
        padded = torch.tensor([ids + [self._pad_id] * (width - len(ids)) for ids in tokens])
        mask = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in tokens])
        features: dict[str, Any] = {
            "input_ids": padded.to(self._device),
            "attention_mask": mask.to(self._device),
        }
        if self._has_segments:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        if prompt_length:
            features["prompt_length"] = prompt_length  # read by poolings that leave the prompt out
        with torch.inference_mode():
            pooled = self._model(features)["sentence_embedding"].float()
            unit: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return unit

    def _prompt_length(self, prompt: str) -> int:
        """Count the prompt's tokens and the special ones before it."""
        special: list[int] = self._whole.encode(prompt).special_tokens_mask if prompt else []
        return max((i + 1 for i, is_special in enumerate(special) if not is_special), default=0)


def _batches_by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield positions, longest first, so that a batch holds texts of nearly one length."""
    batch: list[int] = []
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def _load_model(folder: Path) -> SentenceTransformer:
    showed_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        model = SentenceTransformer(str(folder), local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"{folder} is no sentence-transformers model that can be loaded: {error}") from error
    finally:
        if showed_progress:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    return model.eval()


def _independent_tokenizer(model: SentenceTransformer) -> Tokenizer:
    fast = getattr(model.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise ModelError("The embedder has no fast tokenizer (tokenizer.json), which offsets need.")
    tokenizer = Tokenizer.from_str(fast.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer
