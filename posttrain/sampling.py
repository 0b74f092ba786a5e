"""Many answers at once: batched decoding through transformers, for probing and evaluation.

Prompts are padded on the left, so that all rows write their next token in the same column; padding is
masked and does not move positions. A question's prompt is read once, however many answers are drawn
from it. A row that has ended leaves the batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from zlib import crc32

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from corpus.linear import Int8Linear, int8_is_exact
from rag_service.answering.adapter import load_adapter
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import Message, Part
from rag_service.answering.generation import GeneratedText, is_loop
from rag_service.answering.llama import Precision
from rag_service.answering.markers import Call, Delta
from rag_service.answering.model_files import find_model
from rag_service.answering.template import Template, load_template
from rag_service.answering.transformers_network import load_causal_model

_PADDING = "<|endoftext|>"  # not the end of a turn, which the base model's own padding token is
ROWS_AT_ONCE = 64

CompletionEnd = Literal["end", "call", "stop", "loop", "length"]


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote: its visible text, whether that is marked as a refusal, the tool it asked for."""

    text: str
    refused: bool
    call: Call | None
    end: CompletionEnd
    tokens: int


class BatchSampler:
    """A model that writes many completions side by side; the markers are read as the service reads them."""

    def __init__(self, model: PreTrainedModel, template: Template, *, name: str, sha256: str) -> None:
        """`sha256` tells the weights, adapter included."""
        self.name = name
        self.sha256 = sha256
        self.template = template
        self.model = model
        control = template.vocabulary.control
        self._padding = control.get(_PADDING, 0)
        allowed = template.stop_ids | template.markers.keys()
        self._banned = torch.tensor(sorted(set(control.values()) - allowed), device=model.device)

    def prompt(self, messages: Sequence[Message], parts: Sequence[Part] = ()) -> list[int]:
        """Return the ids of a conversation and an assistant's turn that begins with `parts`."""
        opened = self.template.render(messages, add_generation_prompt=True)
        return [*opened.ids, *self.template.render_parts(parts).ids]

    def sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, *, count: int = 1
    ) -> list[tuple[Completion, ...]]:
        """Return `count` completions for each prompt, in order.

        At most `ROWS_AT_ONCE` rows are written at once; prompts of like length share a batch, so that
        little of it is padding. With a seed the same prompts, in the same order, give the same completions.
        """
        step = max(1, ROWS_AT_ONCE // count)
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        written: dict[int, tuple[Completion, ...]] = {}
        for start in range(0, len(order), step):
            places = order[start : start + step]
            completions = self._sample([prompts[place] for place in places], sampling, count)
            written |= zip(places, completions, strict=True)
        return [written[place] for place in range(len(prompts))]

    def _sample(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling, count: int
    ) -> Iterator[tuple[Completion, ...]]:
        rows = [_Row(GeneratedText(self.template, sampling.stop)) for _ in range(len(prompts) * count)]
        generator = self._generator(prompts, sampling.seed)
        with torch.inference_mode():
            context = _Context.read(self.model, prompts, self._padding, copies=count)
            writing = list(rows)
            for _ in range(sampling.max_tokens):
                chosen = self._choose(context.logits, sampling.temperature, generator)
                going = [
                    place
                    for place, (row, number) in enumerate(zip(writing, chosen.tolist(), strict=True))
                    if row.take(number, self.template.stop_ids)
                ]
                writing = [writing[place] for place in going]
                if not writing:
                    break
                context.go_on(chosen, going)
        completions = [row.completion() for row in rows]
        for start in range(0, len(completions), count):
            yield tuple(completions[start : start + count])

    def _choose(self, logits: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
        logits = logits.index_fill(1, self._banned, float("-inf"))
        if temperature == 0:
            return logits.argmax(dim=-1)
        probabilities = torch.softmax(logits / temperature, -1)
        return torch.multinomial(probabilities, 1, generator=generator)[:, 0]

    def _generator(self, prompts: Sequence[Sequence[int]], seed: int | None) -> torch.Generator:
        """A batch's draws depend on its own prompts, not on how many batches came before."""
        generator = torch.Generator(device=self.model.device)
        if seed is None:
            generator.seed()
        else:
            generator.manual_seed(crc32(repr([list(ids) for ids in prompts]).encode()) ^ seed)
        return generator


class _EightBits(nn.Module):
    """A product in 8 bits, the service's own."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._product = Int8Linear(weight)

    def forward(self, states: Tensor) -> Tensor:
        product: Tensor = self._product(states.flatten(0, -2))
        return product.view(*states.shape[:-1], -1)


def load_sampler(
    model: str, *, models_dir: Path, adapter: str = "", precision: Precision = "float32"
) -> BatchSampler:
    """Load a model as `load_chat_model` finds it, an adapter merged in; on a GPU in bfloat16 if there is one.

    With `int8` a CPU multiplies in 8 bits, as the service does where that is exact.

    Raises:
        ModelError: as `load_chat_model`.
    """
    files = find_model(model, models_dir=models_dir)
    merged = load_adapter(Path(adapter), base_sha256=files.sha256) if adapter else None
    causal = load_causal_model(files.folder, merged)
    if torch.cuda.is_available():
        causal.to(device="cuda", dtype=torch.bfloat16)  # type: ignore[call-arg]  # its decorator hides self
    elif precision == "int8":
        _narrow(causal)
    name = f"{files.name}+{Path(adapter).resolve().name}" if adapter else files.name
    sha256 = f"{files.sha256}+{merged.sha256}" if merged else files.sha256
    return BatchSampler(
        causal, load_template(files.folder, Path(adapter) if adapter else None), name=name, sha256=sha256
    )


def serving_precision() -> Precision:
    """Return the precision in which the service would compute on this machine."""
    return "int8" if int8_is_exact() and not torch.cuda.is_available() else "float32"


def _narrow(causal: PreTrainedModel) -> None:
    for parent in list(causal.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and child.bias is None:
                setattr(parent, name, _EightBits(child.weight.detach()))


@dataclass
class _Row:
    """One completion being written."""

    reader: GeneratedText
    written: list[int] = field(default_factory=list)
    items: list[Delta | Call] = field(default_factory=list)
    end: CompletionEnd = "length"

    def take(self, number: int, stop_ids: frozenset[int]) -> bool:
        """Take in an id; false when the row has ended."""
        if number in stop_ids:
            self.end = "end"
            return False
        self.written.append(number)
        self.items += self.reader.feed(number)
        if self.items and isinstance(self.items[-1], Call):
            self.end = "call"
        elif self.reader.stopped:
            self.end = "stop"
        elif is_loop(self.written):
            self.end = "loop"
        return self.end == "length"

    def completion(self) -> Completion:
        """Return what was written."""
        if self.end != "call":
            self.items += self.reader.finish()
        said = [item for item in self.items if isinstance(item, Delta) and item.kind != "reasoning"]
        calls = [item for item in self.items if isinstance(item, Call)]
        return Completion(
            text="".join(item.text for item in said).strip(),
            refused=any(item.kind == "refusal" for item in said),
            call=calls[0] if calls else None,
            end=self.end,
            tokens=len(self.written),
        )


class _Context:
    """The rows' keys and values, and the logits of each row's next token."""

    def __init__(self, model: PreTrainedModel, cache: DynamicCache, mask: Tensor, logits: Tensor) -> None:
        self._model = model
        self._cache = cache
        self._mask = mask
        self._positions = mask.sum(dim=1)
        self.logits = logits

    @classmethod
    def read(
        cls, model: PreTrainedModel, prompts: Sequence[Sequence[int]], padding: int, *, copies: int
    ) -> "_Context":
        longest = max(map(len, prompts))
        ids = [[padding] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        attended = torch.tensor(mask, device=model.device)
        cache = DynamicCache(config=model.config)
        output = model(
            input_ids=torch.tensor(ids, device=model.device),
            attention_mask=attended,
            position_ids=(attended.cumsum(dim=1) - 1).clamp(min=0),
            past_key_values=cache,
            logits_to_keep=1,
        )
        cache.batch_repeat_interleave(copies)
        repeated = attended.repeat_interleave(copies, dim=0)
        return cls(model, cache, repeated, output.logits[:, -1].float().repeat_interleave(copies, dim=0))

    def go_on(self, chosen: Tensor, going: Sequence[int]) -> None:
        """Read the chosen ids of the rows that go on; forget the others."""
        kept = torch.tensor(going, device=self._mask.device)
        if len(going) < len(self._mask):
            self._cache.batch_select_indices(kept)
            self._mask, self._positions = self._mask[kept], self._positions[kept]
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(going), 1)], dim=1)
        output = self._model(
            input_ids=chosen[kept, None],
            attention_mask=self._mask,
            position_ids=self._positions[:, None],
            past_key_values=self._cache,
        )
        self._positions = self._positions + 1
        self.logits = output.logits[:, -1].float()
