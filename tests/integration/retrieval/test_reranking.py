"""A cross-encoder from a folder, as sentence-transformers writes it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from corpus.embedding import find_model
from corpus.errors import ModelError
from rag_service.retrieval.reader import BASE
from rag_service.retrieval.reranking import load_reranker
from tests.passages import passage


def write_cross_encoder(folder: Path, labels: int) -> Path:
    """Write one of one narrow layer, with random weights."""
    base = find_model(BASE)
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        shutil.copy(base / name, folder)
    shape = json.loads((base / "config.json").read_text(encoding="utf-8"))
    shape |= {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**shape, num_labels=labels))
    model.save_pretrained(folder)
    return folder


def test_it_scores_each_passage(tmp_path: Path) -> None:
    """One number a passage; the same passage gets the same one."""
    rerank = load_reranker(write_cross_encoder(tmp_path / "one", 1))
    one, other = passage(1, "Agnes burns diesel."), passage(2, "The café opens at nine.")
    scores = rerank("What does Agnes burn?", [one, other, one])
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)
    assert scores[0] != pytest.approx(scores[1], abs=1e-6)


def test_other_models_are_refused(tmp_path: Path) -> None:
    """An empty folder, and a classifier of three classes."""
    with pytest.raises(ModelError, match="RAG_RERANKER"):
        load_reranker(tmp_path)
    with pytest.raises(ModelError, match="3 scores"):
        load_reranker(write_cross_encoder(tmp_path / "three", 3))
