"""MPNet as a reader: how it goes to where it is trained, what is trained, and how it comes to the service."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import MPNetConfig, MPNetModel

from corpus.four_bits import pack, packs
from posttrain.reader import padded
from posttrain.reader_examples import ReaderExample
from posttrain.sharding import write_shards
from rag_service.retrieval.reader import CONFIG_FILE, RELEVANCE, SPAN, WORDS, ReaderConfig

_MASKED = -1e4
_PADDING = 1  # MPNet's
_PLACES = "embeddings.position_embeddings.weight"
_NAMES = {  # MPNet's, and BERT's
    "attention.attn.q.": "attention.self.query.",
    "attention.attn.k.": "attention.self.key.",
    "attention.attn.v.": "attention.self.value.",
    "attention.attn.o.": "attention.output.dense.",
    "attention.LayerNorm.": "attention.output.LayerNorm.",
}
_SPECIAL = {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[MASK]": "<mask>"}


def write_teacher(folder: Path, embedder: Path, work: Path) -> None:
    """Write the teacher in eight bits a number, a scale a row, and its numbers of BERT's word pieces."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name.startswith("pooler") or not tensor.is_floating_point():
            continue
        if tensor.ndim == 2:  # noqa: PLR2004 - a matrix
            scale = tensor.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
            tensors |= {name: (tensor / scale).round().to(torch.int8), f"{name}.scale": scale}
        else:
            tensors[name] = tensor.clone()
    own, theirs = (
        json.loads((each / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        for each in (embedder, folder)
    )
    numbers = torch.zeros(len(own), dtype=torch.int32)
    for token, number in own.items():
        numbers[number] = theirs.get(_SPECIAL.get(token, token), theirs["[UNK]"])
    save_file(tensors | {"numbers": numbers}, work / "teacher.safetensors")
    (work / "teacher.json").write_bytes((folder / "config.json").read_bytes())


class Teacher(nn.Module):
    """MPNet with a reader's two heads; its word embeddings stay as they are."""

    def __init__(self, work: Path) -> None:
        super().__init__()
        torch.manual_seed(0)
        config = MPNetConfig(**json.loads((work / "teacher.json").read_text(encoding="utf-8")))
        self.net = MPNetModel(config, add_pooling_layer=False)
        kept = load_file(work / "teacher.safetensors")
        self.numbers = kept.pop("numbers").long()
        tensors = {
            name: tensor.float() * kept[f"{name}.scale"] if f"{name}.scale" in kept else tensor
            for name, tensor in kept.items()
            if not name.endswith(".scale")
        }
        missing, unknown = self.net.load_state_dict(tensors, strict=False)
        if unknown or any("position_ids" not in name for name in missing):
            message = f"The teacher's weights do not fit: {missing} are missing, {unknown} unknown."
            raise ValueError(message)
        self.net.embeddings.word_embeddings.weight.requires_grad = False
        self.span, self.relevance = nn.Linear(config.hidden_size, 2), nn.Linear(config.hidden_size, 1)
        for head in (self.span, self.relevance):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)

    def forward(self, batch: Sequence[ReaderExample]) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `ReaderInTraining` does."""
        ids, _, mask, allowed = padded(batch)
        device = self.span.weight.device
        ids = torch.where(mask.bool(), self.numbers[ids], _PADDING).to(device)
        hidden = self.net(input_ids=ids, attention_mask=mask.to(device)).last_hidden_state.float()
        edges = self.span(hidden).masked_fill(~allowed.to(device)[:, :, None], _MASKED)
        return edges[:, :, 0], edges[:, :, 1], self.relevance(hidden[:, 0])[:, 0]


def save_larger(teacher: Teacher, out: Path, *, base_sha256: str) -> None:
    """Write the teacher as the service reads it: matrices in four bits, in small files."""
    kept: dict[str, Tensor] = {}
    for name, tensor in sorted(as_bert(teacher).items()):
        plain = not packs(tensor) or name.startswith((SPAN, RELEVANCE)) or name == _PLACES
        kept |= {name: tensor.half().contiguous()} if plain else pack(name, tensor)
    write_shards(kept, out, "reader")
    config = teacher.net.config
    ReaderConfig(
        base_sha256=base_sha256,
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
    ).write(out / CONFIG_FILE)


def as_bert(teacher: Teacher) -> dict[str, Tensor]:
    """Return the teacher's tensors as the parts of a BERT model.

    Its word embeddings are put in the order of the embedder's word pieces, which pairs are made of.
    """
    tensors = {
        _bert_name(name.removeprefix("net.")): tensor.cpu()
        for name, tensor in teacher.state_dict().items()
        if "position_ids" not in name
    }
    tensors[WORDS] = tensors[WORDS][teacher.numbers]
    tensors[_PLACES] = tensors[_PLACES][_PADDING + 1 :]  # MPNet counts from behind its padding on
    return tensors


def _bert_name(name: str) -> str:
    for theirs, own in _NAMES.items():
        name = name.replace(theirs, own)
    return name
