"""Trains the reader: a BERT model that finds in a passage where the answer stands, or that it does not.

Two heads on the layers of the embedder (Devlin et al. 2019, arXiv:1810.04805, section 4.3): where an answer
begins and where it ends, with ``[CLS]`` for "nowhere"; and whether the passage answers at all, for answers
that are no words of it. An answer that stands in several places may be found in any of them (Clark and
Gardner 2018, arXiv:1710.10723, section 3.2: the sum of their probabilities is what grows). The word
embeddings stay as they are: they are the embedder's own, and not written.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertModel

from corpus.errors import ModelError
from corpus.text_encoding import batches_by_length
from posttrain.reader_examples import ReaderExample
from rag_service.retrieval.pairs import Pair
from rag_service.retrieval.reader import CONFIG_FILE, RELEVANCE, SPAN, WORDS, ReaderConfig, read_shards

_SHARD_BYTES = 15_000_000
_MASKED = -1e4
_LONGEST = 24  # tokens of an answer that is looked for
_FINDING = 8192  # tokens at once
_POOL = 64  # batches' worth of examples that are sorted by length together


@dataclass(frozen=True, slots=True)
class ReaderPlan:
    """How to train; a batch has at most `batch_tokens`, padding included.

    `dropout` is for several epochs: where every example is seen once there is nothing to learn by heart.
    """

    epochs: int = 1
    learning_rate: float = 1e-4
    warmup: float = 0.06
    batch_tokens: int = 3072
    clip: float = 1.0
    weight_decay: float = 0.01
    dropout: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ReaderLoss:
    """Mean losses of one batch, and how far the run is."""

    step: int
    steps: int
    span: float
    relevance: float
    seconds: float


class ReaderInTraining(nn.Module):
    """The layers and both heads."""

    def __init__(self, folder: Path, *, seed: int, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.bert = BertModel.from_pretrained(
            folder,
            add_pooling_layer=False,
            local_files_only=True,
            dtype=torch.float32,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
        self.bert.embeddings.word_embeddings.weight.requires_grad = False
        width = self.bert.config.hidden_size
        self.span = nn.Linear(width, 2)
        self.relevance = nn.Linear(width, 1)

    def forward(self, batch: Sequence[ReaderExample]) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of starts and ends, shape (batch, length) each, and of relevance, (batch,)."""
        device = self.span.weight.device
        ids, kinds, mask, allowed = (each.to(device) for each in padded(batch))
        hidden = self.bert(input_ids=ids, attention_mask=mask, token_type_ids=kinds).last_hidden_state.float()
        edges = self.span(hidden).masked_fill(~allowed[:, :, None], _MASKED)
        return edges[:, :, 0], edges[:, :, 1], self.relevance(hidden[:, 0])[:, 0]


def train_reader(
    folder: Path,
    examples: Sequence[ReaderExample],
    plan: ReaderPlan,
    *,
    start: Path | None = None,
    report: Callable[[ReaderLoss], None] = lambda _loss: None,
) -> ReaderInTraining:
    """Train on the embedder of a folder; the same examples and plan give the same weights on one machine.

    With `start` it goes on from a saved reader.
    """
    model = ReaderInTraining(folder, seed=plan.seed, dropout=plan.dropout)
    if start:
        load_into(model, start)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device).train()
    batches = [batch for epoch in range(plan.epochs) for batch in _batches(examples, plan, epoch)]
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=plan.learning_rate, weight_decay=plan.weight_decay)
    halves = device == "cuda" or torch.cpu.get_capabilities().get("avx512_bf16", False)
    for step, batch in enumerate(batches):
        began = time.monotonic()
        for group in optimizer.param_groups:
            group["lr"] = plan.learning_rate * rate_share(step, len(batches), plan.warmup)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bool(halves)):
            starts, ends, relevance = model(batch)
        span, judged = losses(batch, starts.float(), ends.float(), relevance.float())
        optimizer.zero_grad(set_to_none=True)
        (span + judged).backward()  # type: ignore[no-untyped-call]  # torch's annotation lacks it
        nn.utils.clip_grad_norm_(learning, plan.clip)
        optimizer.step()
        seconds = time.monotonic() - began
        report(ReaderLoss(step + 1, len(batches), span.item(), judged.item(), seconds))
    return model.eval()


def losses(
    batch: Sequence[ReaderExample], starts: Tensor, ends: Tensor, relevance: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the mean loss of the spans, over examples that have one or have none, and of relevance."""
    wanted = torch.tensor([float(example.answered) for example in batch], device=relevance.device)
    judged = functional.binary_cross_entropy_with_logits(relevance, wanted)
    extractive = [n for n, example in enumerate(batch) if example.answers or not example.answered]
    if not extractive:
        return starts.sum() * 0, judged
    of_starts = torch.zeros(starts.shape, dtype=torch.bool)
    of_ends = torch.zeros(ends.shape, dtype=torch.bool)
    for n in extractive:
        for first, last in batch[n].answers or ((0, 0),):
            of_starts[n, first], of_ends[n, last] = True, True
    of_starts, of_ends = of_starts.to(starts.device), of_ends.to(starts.device)
    both = _missed(starts[extractive], of_starts[extractive]) + _missed(ends[extractive], of_ends[extractive])
    return both.mean() / 2, judged


@dataclass(frozen=True, slots=True)
class Span:
    """The likeliest answer in a pair, by its first and last tokens; `margin` is how much likelier than none.

    `relevance` is the other head's logit.
    """

    first: int
    last: int
    margin: float
    relevance: float


def find_spans(model: ReaderInTraining, pairs: Sequence[Pair]) -> list[Span]:
    """Return the likeliest answer of each pair, wherever the model is."""
    found: dict[int, Span] = {}
    for numbers in batches_by_length([len(pair.ids) for pair in pairs], _FINDING):
        batch = [ReaderExample(pairs[number], answered=False) for number in numbers]
        with torch.inference_mode():
            starts, ends, relevance = model(batch)
            both = starts[:, :, None] + ends[:, None, :]
            length = both.shape[1]
            near = torch.ones(length, length, dtype=torch.bool, device=both.device).triu().tril(_LONGEST - 1)
            nowhere = both[:, 0, 0].clone()
            near[0] = False  # the first token means "nowhere"
            best, places = both.masked_fill(~near, 4 * _MASKED).flatten(1).max(1)
            told = zip(places.tolist(), (best - nowhere).tolist(), relevance.tolist(), strict=True)
        for number, (place, margin, judged) in zip(numbers, told, strict=True):
            found[number] = Span(place // length, place % length, margin, judged)
    return [found[number] for number in range(len(pairs))]


def save_reader(model: ReaderInTraining, folder: Path, *, base_sha256: str) -> None:
    """Write what learned, in half precision, in files below 16 MB, and which embedder it belongs to."""
    tensors = {name.removeprefix("bert."): tensor for name, tensor in model.state_dict().items()}
    kept = {name: tensor for name, tensor in tensors.items() if name != WORDS and "position_ids" not in name}
    _write(kept, folder, ReaderConfig(base_sha256=base_sha256))


def average(folders: Sequence[Path], out: Path) -> None:
    """Write the mean of several saved readers' weights, in the files that `save_reader` writes.

    One reader that often reads better than each of them and costs as much as one (Wortsman et al. 2022,
    arXiv:2203.05482, section 2: a uniform soup). Only runs that began at the same weights have a mean
    that reads: those from one embedder, with one seed for the heads.

    Raises:
        ModelError: a folder holds no whole reader, or they differ in shape or embedder.
    """
    if not folders:
        raise ModelError("There is no reader to take a mean of; name the folders of two or more.")
    configs = [ReaderConfig.read(folder / CONFIG_FILE) for folder in folders]
    readers = [read_shards(folder) for folder in folders]
    shapes = [{name: tensor.shape for name, tensor in reader.items()} for reader in readers]
    for folder, config, shape in zip(folders, configs, shapes, strict=True):
        if not shape:
            raise ModelError(f"The reader in {folder} is not whole; get it again.")
        if config != configs[0]:
            raise ModelError(f"{folder} was trained from another embedder than {folders[0]}; leave it out.")
        if shape != shapes[0]:
            raise ModelError(f"{folder} has other names or shapes than {folders[0]}; leave it out.")
    mean = {name: torch.stack([reader[name].float() for reader in readers]).mean(0) for name in readers[0]}
    _write(mean, out, configs[0])


def load_into(model: ReaderInTraining, folder: Path) -> None:
    """Take a saved reader's weights.

    Raises:
        ModelError: they are those of another shape.
    """
    saved = {name: tensor.float() for name, tensor in read_shards(folder).items()}
    heads = (f"{SPAN}.", f"{RELEVANCE}.")
    named = {name if name.startswith(heads) else f"bert.{name}": tensor for name, tensor in saved.items()}
    own = model.state_dict()
    if any(name not in own or own[name].shape != tensor.shape for name, tensor in named.items()):
        raise ModelError(
            f"The reader in {folder} has another shape than the embedder; it can not be gone on from."
        )
    model.load_state_dict(named, strict=False)


def _missed(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return for each row minus the log of the probability of its wanted places together."""
    return logits.logsumexp(1) - logits.masked_fill(~wanted, -math.inf).logsumexp(1)


def padded(batch: Sequence[ReaderExample]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return, (batch, length) each: ids, kinds of text, which are no padding, where an answer may be."""
    lengths = np.array([len(example.pair.ids) for example in batch])[:, None]
    second, first = (
        np.array([getattr(example.pair, name) for example in batch])[:, None]
        for name in ("second", "first_of_text")
    )
    places = np.arange(lengths.max())
    mask = places < lengths
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate([example.pair.ids for example in batch])
    kinds = ((places >= second) & mask).astype(np.int64)
    allowed = (places >= first) & (places < lengths - 1)
    allowed[:, 0] = True
    return tuple(torch.from_numpy(each) for each in (ids, kinds, mask.astype(np.int64), allowed))  # type: ignore[return-value]  # four


def _batches(
    examples: Sequence[ReaderExample], plan: ReaderPlan, epoch: int
) -> Iterator[list[ReaderExample]]:
    for numbers in batch_numbers(examples, plan.batch_tokens, plan.seed * 1000 + epoch):
        yield [examples[number] for number in numbers]


def batch_numbers(examples: Sequence[ReaderExample], batch_tokens: int, seed: int) -> Iterator[list[int]]:
    """Yield an epoch's batches, by number: pairs about as long side by side."""
    random = Random(seed)  # noqa: S311 - an order of data, no secret
    order = random.sample(range(len(examples)), len(examples))
    usual = sum(len(example.pair.ids) for example in examples) / max(1, len(examples))
    size = max(1, int(_POOL * batch_tokens / max(1.0, usual)))
    for start in range(0, len(order), size):
        pool = order[start : start + size]
        lengths = [len(examples[number].pair.ids) for number in pool]
        batches = list(batches_by_length(lengths, batch_tokens))
        random.shuffle(batches)
        yield from ([pool[n] for n in batch] for batch in batches)


def rate_share(step: int, steps: int, warmup: float) -> float:
    """Return the share of the learning rate: up in a line, then down in a line to nothing."""
    first = max(1, round(warmup * steps))
    return min((step + 1) / first, (steps - step) / max(1, steps - first))


def _write(tensors: Mapping[str, Tensor], folder: Path, config: ReaderConfig) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    kept = {name: tensor.half().cpu().contiguous() for name, tensor in tensors.items()}
    for number, shard in enumerate(_shards(kept), start=1):
        save_file(shard, folder / f"reader-{number}.safetensors")
    config.write(folder / CONFIG_FILE)


def _shards(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    shard: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if shard and sum(each.nbytes for each in shard.values()) + tensor.nbytes > _SHARD_BYTES:
            yield shard
            shard = {}
        shard[name] = tensor
    yield shard
