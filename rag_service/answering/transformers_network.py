"""Any causal language model that transformers knows, for chat models that are no Llama."""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel

from rag_service.answering.adapter import Adapter, merge

_log = logging.getLogger(__name__)


class TransformersNetwork:
    """A model of transformers with one context, in float32; see `Network`."""

    def __init__(self, folder: Path, adapter: Adapter | None) -> None:
        self._model = load_causal_model(folder, adapter)
        self.context_length = int(self._model.config.max_position_embeddings)
        self._cache = DynamicCache(config=self._model.config)

    @property
    def length(self) -> int:
        """Tokens in the context now."""
        return int(self._cache.get_seq_length())

    def forward(self, ids: Sequence[int]) -> Tensor:
        """Append ids; see `Network`."""
        with torch.inference_mode():
            output = self._model(
                input_ids=torch.tensor([ids]), past_key_values=self._cache, use_cache=True, logits_to_keep=1
            )
        logits: Tensor = output.logits[0, -1].float()
        return logits

    def truncate(self, length: int) -> None:
        """Forget later tokens; see `Network`."""
        if length < self.length:
            self._cache.crop(length - self.length)


def load_causal_model(folder: Path, adapter: Adapter | None) -> PreTrainedModel:
    """Return a model of transformers in float32, ready to be asked, with the adapter merged in."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, local_files_only=True
    )
    if adapter is not None:
        weights = dict(model.state_dict())
        if model.config.tie_word_embeddings:
            weights.pop("lm_head.weight", None)  # the embedding, which may grow, by another name
        merge(adapter, weights)
        rows = max(len(tensor) for name, tensor in weights.items() if "embed_tokens" in name)
        model.resize_token_embeddings(rows, mean_resizing=False)
        model.load_state_dict(weights, strict=False)
    model.train(mode=False)
    return model
