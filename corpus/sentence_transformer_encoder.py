"""Any sentence-transformers model as an encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers.utils import logging

from corpus.errors import ModelError
from corpus.text_encoding import LONGEST, TokenIds, choose_prompts


class SentenceTransformerEncoder:
    """A model from a local folder, run by sentence-transformers; no network.

    Texts go through the model's own modules, but not through its `encode`: that one changes the
    tokenizer's settings on each call, which two threads can not do at once.
    """

    batch_tokens = 4096  # on two cores 4 to 64 texts a batch are equally fast; few tokens keep memory small

    def __init__(self, folder: Path) -> None:
        self._model = _load_model(folder)
        self._device = self._model.device
        self._pad_id = int(self._model.tokenizer.pad_token_id or 0)
        self._has_segments = "token_type_ids" in self._model.tokenizer.model_input_names
        self.tokenizer = _fast_tokenizer(self._model)
        self.max_tokens = self._model.max_seq_length or LONGEST
        self.query_prompt, self.passage_prompt = choose_prompts(self._model.prompts)
        self.dimension = self.encode([[self._pad_id]], 0).shape[1]

    def encode(self, tokens: Sequence[TokenIds], prompt_length: int) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(tokens), dimension)."""
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


def _fast_tokenizer(model: SentenceTransformer) -> Tokenizer:
    fast = getattr(model.tokenizer, "backend_tokenizer", None)
    if fast is None:
        raise ModelError("The embedder has no fast tokenizer (tokenizer.json), which offsets need.")
    return Tokenizer.from_str(fast.to_str())
