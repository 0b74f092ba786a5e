"""Perplexity on a tiny real Llama."""

from math import exp
from pathlib import Path

import pytest
import torch

from posttrain.perplexity import chat_perplexity
from posttrain.sampling import load_sampler
from rag_service.answering.conversation import Part, Record, assistant, user
from tests.tiny_models import write_tiny_model


def test_perplexity_is_that_of_the_assistants_words_alone(tmp_path: Path) -> None:
    """It equals the mean loss of the reply's own tokens; question, frames and refusals do not count."""
    found = load_sampler(str(write_tiny_model(tmp_path / "base")), models_dir=tmp_path)
    reply = "The station has two generators."
    record = Record("1", "chat", "dev", (user("What is there?"), assistant(reply)))
    refusal = Record("2", "chat", "dev", (user("Why?"), assistant(Part("refusal", "No."))))
    measured = chat_perplexity(found.model, found.template, [record, refusal])

    prompt = found.prompt(record.messages[:-1])
    ids = [*prompt, *found.template.vocabulary.encode(reply)]
    with torch.no_grad():
        log_probabilities = found.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    losses = [-log_probabilities[n - 1, ids[n]].item() for n in range(len(prompt), len(ids))]
    assert measured.count == 1
    assert measured.value == pytest.approx(exp(sum(losses) / len(losses)), rel=1e-4)
