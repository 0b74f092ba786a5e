"""Perplexity of chat replies: what fine-tuning made the model forget of how to talk."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import exp
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from rag_service.answering.conversation import Record
from rag_service.answering.template import Template
from rag_service.evaluation.measures import Estimate, estimate

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LONGEST = 1024  # tokens; longer conversations are cut


def chat_perplexity(model: "PreTrainedModel", template: Template, records: Iterable[Record]) -> Estimate:
    """Return the perplexity a token of the assistant's words, with a 95% interval over conversations.

    Frames and the turn's end do not count: they differ between a model's own template and the
    answerer's, while the words are the same tokens in both.
    """
    shares = [_loss(model, template, record) for record in records]
    found = estimate(shares)
    if found.value is None or found.low is None or found.high is None:
        return found
    return replace(found, value=exp(found.value), low=exp(found.low), high=exp(found.high))


def _loss(model: "PreTrainedModel", template: Template, record: Record) -> tuple[float, float]:
    """Return the summed negative log-likelihood of a conversation's words, and how many there are."""
    rendered = template.render(record.messages)
    ids = torch.tensor(rendered.ids[:_LONGEST], device=model.device)
    counts = _words(rendered.roles[1:_LONGEST])
    if not any(counts):
        return (0.0, 0.0)
    with torch.inference_mode():
        logits = model(input_ids=ids[None]).logits[0, :-1].float()
    losses = functional.cross_entropy(logits, ids[1:], reduction="none")
    counted = torch.tensor(counts, device=model.device)
    return (float(losses[counted].sum()), float(counted.sum()))


def _words(roles: Sequence[str]) -> list[bool]:
    return [role == "text" for role in roles]
