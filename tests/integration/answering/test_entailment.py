"""A classifier from a folder in the place of the score; a tiny one with random weights stands for it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from corpus.errors import ModelError
from rag_service.answering.entailment import load_entailment_model

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "orson", "keeps", "generators", "never"]


def save_classifier(folder: Path, labels: Sequence[str]) -> Path:
    """Write a classifier of one small layer, with its tokenizer."""
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[1]))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]
    tokenizer.post_processor = TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), WORDS, strict=False))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=32,
        id2label=dict(enumerate(labels)),
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_shares_of_all_labels_are_one(tmp_path: Path) -> None:
    """The probability is that of the label that means yes, wherever it stands."""
    source, claim = "orson keeps generators", "orson never keeps"
    first = load_entailment_model(save_classifier(tmp_path / "a", ["ENTAILMENT", "NEUTRAL"]))(source, claim)
    second = load_entailment_model(save_classifier(tmp_path / "b", ["contradiction", "entailment"]))
    assert 0 < first < 1
    assert first + second(source, claim) == pytest.approx(1)


def test_one_number_is_a_probability(tmp_path: Path) -> None:
    """Models for factual consistency have no second label; a long source is cut."""
    entails = load_entailment_model(save_classifier(tmp_path / "one", ["LABEL_0"]))
    assert 0 < entails("orson keeps generators " * 50, "never") < 1


def test_what_is_no_such_model_is_refused(tmp_path: Path) -> None:
    """An empty folder, and labels of something else, are named with the setting."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="RAG_VERIFIER"):
        load_entailment_model(tmp_path / "empty")
    with pytest.raises(ModelError, match="POSITIVE"):
        load_entailment_model(save_classifier(tmp_path / "mood", ["POSITIVE", "NEGATIVE"]))
