"""The model in training: the base in transformers, new tokens, LoRA on the layers that learn.

`first_layer` splits the model in two. Layers below it are frozen and give the same activations for a
row on every epoch, so on a CPU they are computed once and kept (`posttrain.activations`); training
then costs only the layers above. With 0 all layers learn, and so do the rows of the new tokens.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import LlamaForCausalLM

from corpus.errors import ModelError
from corpus.linear import Int8Linear, int8_is_exact
from posttrain import packed_attention
from posttrain.examples import IGNORED, Batch
from posttrain.gpu import quicken
from rag_service.answering.adapter import Adapter
from rag_service.answering.markers import NEW_TOKENS, ROLE_END, Marker
from rag_service.answering.template import AnswererTemplate, answerer_vocabulary
from rag_service.answering.vocabulary import Vocabulary

_STEP = 0.7  # of an embedding's usual length
Precision = Literal["float32", "bfloat16"]
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# A new token starts as the mean of the words that say what it does, so that it is no stranger.
DESCRIPTIONS = {
    ROLE_END: " says:",
    Marker.SEARCH_START: " search for",
    Marker.SEARCH_END: " end of search",
    Marker.RESULT_START: " result:",
    Marker.RESULT_END: " end of result",
    Marker.CALC_START: " calculate",
    Marker.CALC_END: " equals",
    Marker.THINK_START: " think step by step:",
    Marker.THINK_END: " therefore",
    Marker.REFUSAL: " I do not know.",
}


@dataclass(frozen=True, slots=True)
class Lora:
    """The low-rank part: `rank`, `alpha` (its scale is alpha / rank), and the first layer that learns.

    `kept`: activations of the layers below are kept, so the new tokens, which enter them, can not learn.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    first_layer: int = 0
    kept: bool = True


@dataclass(frozen=True, slots=True)
class Full:
    """Every weight from `first_layer` on learns, with 0 the embeddings too; it makes a whole model."""

    first_layer: int = 0


class Trainee:
    """A causal model that learns, by an adapter or as a whole, and the loss of a batch.

    With `recompute` the layers' inner activations are computed again on the way back (gradient
    checkpointing): a third more work, memory for one layer instead of all.
    """

    def __init__(
        self,
        model: PeftModel | LlamaForCausalLM,
        template: AnswererTemplate,
        first_layer: int,
        precision: Precision,
        *,
        recompute: bool = False,
    ) -> None:
        self.model = model
        self.template = template
        self.first_layer = first_layer
        self.precision = precision
        self.recompute = recompute
        whole = model.get_base_model() if isinstance(model, PeftModel) else model
        self._causal = cast("LlamaForCausalLM", whole)

    @property
    def causal(self) -> LlamaForCausalLM:
        """The model itself, without what PEFT puts around it."""
        return self._causal

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._causal.device

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the parameters that learn, by name."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def lower(self, batch: Batch) -> Tensor:
        """Return the hidden states that enter `first_layer`, shape (1, length, hidden); no gradient."""
        batch = batch.to(self.device)
        with torch.no_grad(), self._precision():
            hidden = self._causal.model.embed_tokens(batch.ids)
            return self._through(hidden, batch, 0, self.first_layer)

    def loss(self, batch: Batch, lower: Tensor | None = None) -> tuple[Tensor, int]:
        """Return the summed cross entropy of the trained labels, and how many there are.

        `lower` is what `lower()` gave for this batch, if that was kept.
        """
        batch = batch.to(self.device)
        if lower is None:
            lower = self.lower(batch) if self.first_layer else self._causal.model.embed_tokens(batch.ids)
        layers = self._causal.config.num_hidden_layers
        learned = batch.labels[0] != IGNORED
        lower = lower.to(self.device)
        if self._halves:
            lower = lower.bfloat16()
        with self._precision():
            hidden = self._through(lower, batch, self.first_layer, layers)
            # The vocabulary is a third of the model's work: logits only where there is a label.
            logits = self._causal.lm_head(self._causal.model.norm(hidden[0, learned]))
        labels = batch.labels[0, learned]
        return functional.cross_entropy(logits.float(), labels, reduction="sum"), len(labels)

    def save(self, folder: Path) -> None:
        """Write the adapter in PEFT's form, or the whole model in transformers', the tokenizer beside it."""
        if isinstance(self.model, PeftModel):
            self.model.save_pretrained(str(folder), save_embedding_layers=False)
        else:
            self.model.save_pretrained(folder)
        self.template.vocabulary.save(folder / "tokenizer.json")

    @property
    def _halves(self) -> bool:
        """Whether what goes from layer to layer is in bfloat16 too: a GPU waits for memory, not for sums."""
        return self.device.type == "cuda" and self.precision == "bfloat16"

    def _precision(self) -> torch.autocast:
        """With `bfloat16` matrices are multiplied so; what learns, and the loss, stay in float32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bfloat16")

    def _through(self, hidden: Tensor, batch: Batch, first: int, end: int) -> Tensor:
        inner = self._causal.model
        rotation = inner.rotary_emb(hidden, position_ids=batch.positions)
        for layer in inner.layers[first:end]:
            given = {
                "attention_mask": None,
                "lengths": batch.lengths,
                "position_ids": batch.positions,
                "position_embeddings": rotation,
            }
            if self.recompute and torch.is_grad_enabled():
                hidden = checkpoint(layer, hidden, use_reentrant=False, **given)
            else:
                hidden = layer(hidden, **given)
        return hidden


def best_precision() -> Precision:
    """Return bfloat16 where the processor multiplies it (GPUs; AMX, AVX-512), which halves the time."""
    capabilities = torch.cpu.get_capabilities()
    quick = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bfloat16" if torch.cuda.is_available() or quick else "float32"


def load_trainee(
    base: Path,
    how: Lora | Full,
    *,
    seed: int = 0,
    precision: Precision = "float32",
    recompute: bool = False,
    start: Adapter | None = None,
) -> Trainee:
    """Load a base model's folder, give it the answerer's tokens and an adapter that changes nothing yet.

    With `start` the adapter begins as that one is, which must have the same shape.

    With `bfloat16` a CPU also keeps the frozen weights in it, and those of the layers below the first one
    that learns in 8 bits, if it multiplies them exactly: as the service does there.
    """
    torch.manual_seed(seed)  # LoRA's down-projections start random
    template = AnswererTemplate(answerer_vocabulary(Vocabulary.from_file(base / "tokenizer.json")))
    causal = LlamaForCausalLM.from_pretrained(
        base, dtype=torch.float32, attn_implementation=packed_attention.NAME, local_files_only=True
    )
    causal.resize_token_embeddings(template.vocabulary.size, mean_resizing=False)
    _describe_new_tokens(causal, template.vocabulary)
    model = _with_adapter(causal, how, template) if isinstance(how, Lora) else _frozen_below(causal, how)
    if start and isinstance(model, PeftModel) and isinstance(how, Lora):
        _start_from(model, start, how)
    if torch.cuda.is_available():
        model.to("cuda")  # type: ignore[arg-type] # its stub lacks names of devices
        quicken(model)
    elif precision == "bfloat16" and isinstance(how, Lora):  # a whole model is saved as it is
        _narrow(causal, how.first_layer)
    return Trainee(model, template, how.first_layer, precision, recompute=recompute)


def _with_adapter(causal: LlamaForCausalLM, lora: Lora, template: AnswererTemplate) -> PeftModel:
    new_ids = [template.vocabulary.control[token] for token in NEW_TOKENS]
    model = get_peft_model(
        causal,
        LoraConfig(
            task_type="CAUSAL_LM",
            r=lora.rank,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(PROJECTIONS),
            layers_to_transform=list(range(lora.first_layer, causal.config.num_hidden_layers)),
            trainable_token_indices={"embed_tokens": new_ids},
        ),
    )
    if lora.first_layer and lora.kept:  # kept activations hold the tokens as they were
        for name, weight in model.named_parameters():
            if "trainable_tokens" in name:
                weight.requires_grad = False
    return model


def _start_from(model: PeftModel, start: Adapter, lora: Lora) -> None:
    """Copy an adapter's tensors into the model's; each must have a place of its shape and scale."""
    own = model.state_dict()
    places = {name: name.replace(".weight", ".default.weight") for name in start.tensors if ".lora_" in name}
    same = all(
        place in own and own[place].shape == start.tensors[name].shape for name, place in places.items()
    )
    count = sum(".lora_" in name for name in own)
    if not same or len(places) != count or start.scale != lora.alpha / lora.rank:
        raise ModelError(
            "The adapter to start from has another rank or other layers; "
            "give --rank and --first-layer of its run."
        )
    set_peft_model_state_dict(model, {name: tensor.float() for name, tensor in start.tensors.items()})


def _frozen_below(causal: LlamaForCausalLM, full: Full) -> LlamaForCausalLM:
    if full.first_layer:
        for part in (causal.model.embed_tokens, causal.lm_head, *causal.model.layers[: full.first_layer]):
            part.requires_grad_(requires_grad=False)
    return causal


class _Quantized(nn.Module):
    """A frozen product in 8 bits, the service's own."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._product = Int8Linear(weight)

    def forward(self, rows: Tensor) -> Tensor:
        product: Tensor = self._product(rows[0].float())[None]
        return product.bfloat16()  # the products of attention, too, cost half in it


def _narrow(causal: LlamaForCausalLM, first_layer: int) -> None:
    """Keep the frozen matrices in fewer bits."""
    eight = int8_is_exact()
    for number, layer in enumerate(causal.model.layers):
        for parent in list(layer.modules()):
            for name, child in list(parent.named_children()):
                if not isinstance(child, nn.Linear) or child.weight.requires_grad:
                    continue
                if eight and number < first_layer:
                    setattr(parent, name, _Quantized(child.weight.detach()))
                else:
                    child.weight.data = child.weight.data.bfloat16()


def _describe_new_tokens(causal: LlamaForCausalLM, vocabulary: Vocabulary) -> None:
    """Start a new token at the mean of the words that describe it, and a random step away from there.

    Embeddings are tied: at the mean itself its logit would be the mean of those words' logits, never the
    greatest, and as long as it does not learn, a greedy model could not write it.
    """
    weights = causal.model.embed_tokens.weight
    with torch.no_grad():
        usual = weights.norm(dim=1).mean()
        for token in NEW_TOKENS:
            mean = weights[vocabulary.encode(DESCRIPTIONS[token])].mean(dim=0)
            step = torch.randn_like(mean)
            weights[vocabulary.control[token]] = mean + step * (_STEP * usual / step.norm())
