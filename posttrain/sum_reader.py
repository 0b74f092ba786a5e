"""Trains the sum reader: the embedder's layers, and heads that choose a sum's steps.

Each step is learned with the right ones before it (teacher forcing); the loss is that of the right pair of
numbers, operation, and whether it is the last step, among all of them.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertModel

from corpus.four_bits import pack, packs
from corpus.text_encoding import batches_by_length
from posttrain.data.sum_problems import SolvedProblem, Step
from posttrain.reader import ReaderInTraining, load_into, rate_share
from rag_service.retrieval.quantities import CONSTANTS, ProblemRow
from rag_service.retrieval.reader import CONFIG_FILE, WORDS, ReaderConfig
from rag_service.retrieval.sum_heads import Operation, SumHeads
from rag_service.retrieval.sum_reader import HEADS, MARK

_POOL = 500  # problems that are sorted by length together
_HEADS_FASTER = 8  # times the layers' learning rate
_PLACES = "embeddings.position_embeddings.weight"


@dataclass(frozen=True, slots=True)
class SumExample:
    """A problem as a row, and its steps."""

    row: ProblemRow
    steps: tuple[Step, ...]

    @property
    def length(self) -> int:
        """In tokens."""
        return len(self.row.ids)


@dataclass(frozen=True, slots=True)
class SumPlan:
    """How to train; a batch has at most `batch_tokens`, padding included."""

    learning_rate: float = 1e-4
    warmup: float = 0.03
    batch_tokens: int = 1700
    clip: float = 1.0
    weight_decay: float = 0.01
    dropout: float = 0.1
    seed: int = 0


class SumReaderInTraining(nn.Module):
    """The layers and the heads, and what is added to the word embedding that stands for a number."""

    def __init__(self, embedder: Path, *, start: Path | None, dropout: float, seed: int = 0) -> None:
        """`start` is a reader whose layers are gone on from; else they are the embedder's own."""
        super().__init__()
        reader = ReaderInTraining(embedder, seed=seed, dropout=dropout)
        if start:
            load_into(reader, start)
        self.bert: BertModel = reader.bert
        width = self.bert.config.hidden_size
        self.mark = nn.Parameter(torch.zeros(width))
        self.heads = SumHeads(width, dropout=dropout)

    def begin(self, rows: Sequence[ProblemRow]) -> tuple[Tensor, Tensor]:
        """Return what the first steps may use, and which of it is there, (batch, constants + numbers)."""
        length = max(len(row.ids) for row in rows)
        most = max(len(row.places) for row in rows)
        ids, mask, kinds = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(3))
        marked = torch.zeros(len(rows), length, 1)
        places = torch.zeros(len(rows), most, dtype=torch.long)
        there = torch.zeros(len(rows), len(CONSTANTS) + most, dtype=torch.bool)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = torch.tensor(row.ids)
            mask[number, : len(row.ids)] = 1
            kinds[number, row.second : len(row.ids)] = 1
            marked[number, list(row.places)] = 1
            places[number, : len(row.places)] = torch.tensor(row.places)
            there[number, : len(CONSTANTS) + len(row.places)] = True
        words = self.bert.embeddings.word_embeddings(ids) + marked * self.mark
        hidden = self.bert(inputs_embeds=words, attention_mask=mask, token_type_ids=kinds).last_hidden_state
        numbers = hidden.gather(1, places[:, :, None].expand(-1, -1, hidden.shape[-1]))
        return self.heads.begin(numbers, hidden[:, 0]), there


def train_sum_reader(
    model: SumReaderInTraining,
    epochs: Sequence[Sequence[SumExample]],
    plan: SumPlan,
    report: Callable[[int, int, float, float], None] = lambda _step, _steps, _loss, _seconds: None,
) -> None:
    """Train on the examples of each epoch in turn; `report` hears step, steps, loss and seconds."""
    random = Random(plan.seed)  # noqa: S311 - an order of data, no secret
    batches = [batch for examples in epochs for batch in _batches(examples, plan.batch_tokens, random)]
    optimizer = _optimizer(model, plan)
    learning = [weight for group in optimizer.param_groups for weight in group["params"]]
    model.train()
    for step, batch in enumerate(batches):
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = group["full"] * rate_share(step, len(batches), plan.warmup)
        loss = steps_loss(model, batch)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's annotation lacks it
        nn.utils.clip_grad_norm_(learning, plan.clip)
        optimizer.step()
        report(step + 1, len(batches), loss.item(), time.monotonic() - began)
    model.eval()


def steps_loss(model: SumReaderInTraining, batch: Sequence[SumExample]) -> Tensor:
    """Return the mean loss of all steps."""
    usable, there = model.begin([example.row for example in batch])
    given = there.shape[1]
    left = list(batch)
    losses: list[Tensor] = []
    for turn in range(max(len(example.steps) for example in batch)):
        kept = [number for number, example in enumerate(left) if len(example.steps) > turn]
        left, usable, there = [left[number] for number in kept], usable[kept], there[kept]
        made, scores, places = model.heads.pairs(usable, there)
        at = {pair: number for number, pair in enumerate(zip(*places.tolist(), strict=True))}
        steps = [_padded(example, example.steps[turn], given) for example in left]
        pairs = torch.tensor([at[step.first, step.second] for step in steps])
        operations = torch.tensor([int(step.operation) for step in steps])
        last = torch.tensor([int(len(example.steps) == turn + 1) for example in left])
        wanted = (pairs * len(Operation) + operations) * 2 + last
        losses.append(functional.cross_entropy(scores.flatten(1), wanted, reduction="none"))
        usable = model.heads.add(usable, made[torch.arange(len(left)), pairs, operations])
        there = torch.cat([there, torch.ones(len(left), 1, dtype=torch.bool)], 1)
    return torch.cat(losses).mean()


def save_sum_reader(model: SumReaderInTraining, folder: Path, *, base_sha256: str) -> None:
    """Write what learned, matrices of layers in four bits, and which embedder it belongs to."""
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[str, Tensor] = {}
    for whole, tensor in model.state_dict().items():
        name = whole.removeprefix("bert.")
        if name == WORDS or "position_ids" in name:
            continue
        plain = not packs(tensor) or name.startswith(HEADS) or name in (_PLACES, MARK)
        kept |= {name: tensor.half().contiguous()} if plain else pack(name, tensor)
    save_file(kept, folder / "sums.safetensors")
    ReaderConfig(base_sha256=base_sha256).write(folder / CONFIG_FILE)


def can_learn(found: SolvedProblem, most_steps: int) -> bool:
    """Tell whether its steps are few, and each has a number or a result in it."""
    return 0 < len(found.steps) <= most_steps and all(step.second >= len(CONSTANTS) for step in found.steps)


def _padded(example: SumExample, step: Step, given: int) -> Step:
    """Return the step by its places in a batch, whose rows have as many numbers as the longest."""
    own = len(CONSTANTS) + len(example.row.places)
    first, second = (place if place < own else place - own + given for place in (step.first, step.second))
    return Step(step.operation, first, second)


def _batches(examples: Sequence[SumExample], batch_tokens: int, random: Random) -> Iterator[list[SumExample]]:
    order = random.sample(list(examples), len(examples))
    for start in range(0, len(order), _POOL):
        pool = order[start : start + _POOL]
        batches = list(batches_by_length([each.length for each in pool], batch_tokens))
        random.shuffle(batches)
        yield from ([pool[number] for number in batch] for batch in batches)


def _optimizer(model: SumReaderInTraining, plan: SumPlan) -> torch.optim.Optimizer:
    """The heads, which begin at nothing, learn faster; each group keeps its full rate beside it."""
    layers = [each for name, each in model.named_parameters() if _is_layer(name)]
    heads = [
        each for name, each in model.named_parameters() if not _is_layer(name) and not name.endswith(WORDS)
    ]
    rate = plan.learning_rate
    return torch.optim.AdamW(
        [{"params": layers, "full": rate}, {"params": heads, "full": rate * _HEADS_FASTER}],
        weight_decay=plan.weight_decay,
    )


def _is_layer(name: str) -> bool:
    return name.startswith("bert.") and not name.endswith(WORDS)
