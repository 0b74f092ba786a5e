"""A model that judges whether a source says what a claim says, in the place of the calibrated score.

Any sequence classifier of transformers for natural language inference (labels with "entailment") or for
factual consistency (one number, or a label such as "consistent"), from a folder. It reads the source
first, the claim second.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from corpus.errors import ModelError
from rag_service.answering.verification import Entails

_YES = ("entail", "consisten", "support", "factual", "faithful", "grounded")
_MAX_TOKENS = 512


def load_entailment_model(folder: Path) -> Entails:
    """Return a function from source and claim to the probability, 0 to 1, that the source says it.

    A source that is too long for the model is cut at its end; a claim never is.

    Raises:
        ModelError: the folder has no such model, or none of its labels means that a claim holds.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"RAG_VERIFIER: {folder} has no classifier that transformers reads ({error})."
        ) from error
    labels = sorted((int(place), label) for place, label in (model.config.id2label or {}).items())
    yes = _place_of_yes([label for _, label in labels])
    longest = min(_MAX_TOKENS, getattr(model.config, "max_position_embeddings", _MAX_TOKENS))

    def entails(source: str, claim: str) -> float:
        inputs = tokenizer(source, claim, truncation="only_first", max_length=longest, return_tensors="pt")
        with torch.inference_mode():
            logits = model(**inputs).logits[0]
        return float(torch.sigmoid(logits[0]) if yes is None else torch.softmax(logits, -1)[yes])

    return entails


def _place_of_yes(labels: Sequence[str]) -> int | None:
    """Return the label that means yes; None: there is one number alone."""
    if len(labels) == 1:
        return None
    found = [place for place, label in enumerate(labels) if label.lower().startswith(_YES)]
    if len(found) != 1:
        raise ModelError(f"RAG_VERIFIER: none of the labels {list(labels)} means entailment.")
    return found[0]
