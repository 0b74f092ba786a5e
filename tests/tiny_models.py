"""A tiny tokenizer and a tiny Llama with random weights, made in a moment: real parts, small."""

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from corpus.embedding import find_model
from rag_service.answering.template import OwnTemplate
from rag_service.answering.vocabulary import Vocabulary
from rag_service.retrieval.reader import BASE

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_TEXTS = (
    "The station has two generators. Each burns 14 litres an hour. <|im_start|> <|im_end|> [1] end start im_",
    "Wie heißt der Koch? SEARCH_START> SEARCH_END> RESULT CALC THINK system user assistant",
)


def write_tiny_encoder(folder: Path, width: int) -> Path:
    """Write a sentence encoder of one narrow layer with the tokenizer of the shipped one; always the same."""
    shutil.copytree(find_model(BASE), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    shape = json.loads((folder / "config.json").read_text())
    shape |= {"hidden_size": width, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    (folder / "config.json").write_text(json.dumps(shape))
    torch.manual_seed(0)
    model = BertModel(BertConfig(**shape), add_pooling_layer=False)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def tiny_tokenizer() -> Tokenizer:
    """Return a byte-level BPE tokenizer with all 256 bytes, digits apart, as SmolLM2's is."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(text, normalized=False, special=True) for text in SPECIALS],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TEXTS * 3, trainer)
    return tokenizer


def tiny_vocabulary() -> Vocabulary:
    """Return the tiny tokenizer as a vocabulary."""
    return Vocabulary(tiny_tokenizer())


def tiny_own_template(vocabulary: Vocabulary) -> OwnTemplate:
    """Return ChatML, the form of SmolLM2's own template."""
    return OwnTemplate(vocabulary, CHAT_TEMPLATE, names={}, end="<|im_end|>")


def write_tiny_model(folder: Path, tokenizer: Tokenizer | None = None, **changes: object) -> Path:
    """Write a Llama of two layers with random weights as a transformers folder; always the same one."""
    tokenizer = tokenizer or tiny_tokenizer()
    shape: dict[str, object] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "tie_word_embeddings": True,
    }
    config = LlamaConfig(**(shape | changes))
    torch.manual_seed(7)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    own = {"chat_template": CHAT_TEMPLATE, "eos_token": "<|im_end|>", "bos_token": "<|im_start|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(own), encoding="utf-8")
    return folder
