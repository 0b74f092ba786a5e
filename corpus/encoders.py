"""Which encoder runs a model's folder."""

from pathlib import Path

import torch

from corpus.bert_encoder import BertConfig, BertEncoder
from corpus.text_encoding import Encoder


def load_encoder(folder: Path) -> Encoder:
    """Load a folder's network: ours where it can run it, else sentence-transformers.

    Raises:
        ModelError: neither can.
    """
    config = None if torch.cuda.is_available() else BertConfig.read(folder)
    if config is not None:
        return BertEncoder(folder, config)
    from corpus.sentence_transformer_encoder import SentenceTransformerEncoder  # noqa: PLC0415 - takes 5 s of CPU to import

    return SentenceTransformerEncoder(folder)
