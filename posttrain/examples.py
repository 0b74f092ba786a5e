"""Records to rows of token ids: rendered as they are served, packed so that nothing leaks.

Packing puts several conversations into one row of fixed length, so that no step is spent on padding.
Each conversation keeps its own positions and attends to itself alone (Krell et al. 2021,
arXiv:2107.02027, section 3).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from rag_service.answering.conversation import Record
from rag_service.answering.template import Template

IGNORED = -100  # the label that torch's cross entropy leaves out
_OPEN_ROWS = 16  # as many rows are looked through for room


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation: its ids, and for each whether the loss counts it."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """Examples side by side, at most `max_length` tokens together."""

    examples: tuple[Example, ...]

    @property
    def length(self) -> int:
        """Tokens in the row."""
        return sum(len(example.ids) for example in self.examples)


@dataclass(frozen=True, slots=True)
class Batch:
    """One row as tensors of shape (1, length), and the lengths of the examples in it."""

    ids: Tensor
    positions: Tensor
    labels: Tensor
    lengths: tuple[int, ...]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(self.ids.to(device), self.positions.to(device), self.labels.to(device), self.lengths)


def example_of(record: Record, template: Template) -> Example:
    """Render a record exactly as the service renders a conversation."""
    rendered = template.render(record.messages)
    return Example(tuple(rendered.ids), tuple(rendered.loss_mask))


def examples_of(records: Iterable[Record], template: Template, *, max_length: int) -> Iterator[Example]:
    """Yield the examples that fit; one that is too long would lose its answer, so it is left out."""
    for record in records:
        example = example_of(record, template)
        if len(example.ids) <= max_length and any(example.trained[1:]):
            yield example


def write_examples(examples: Sequence[Example], path: Path) -> None:
    """Write examples to one compressed file, for a machine that has neither tokenizer nor time."""
    ids = np.fromiter((number for each in examples for number in each.ids), dtype=np.uint32)
    trained = np.fromiter((flag for each in examples for flag in each.trained), dtype=np.bool_)
    lengths = np.fromiter((len(each.ids) for each in examples), dtype=np.uint32)
    narrow = ids.astype(np.uint16) if ids.size and ids.max() <= np.iinfo(np.uint16).max else ids
    np.savez_compressed(path, ids=narrow, trained=np.packbits(trained), lengths=lengths)


def load_examples(path: Path) -> list[Example]:
    """Read what `write_examples` wrote."""
    with np.load(path) as file:
        ids, lengths = file["ids"].tolist(), file["lengths"].tolist()
        trained = np.unpackbits(file["trained"], count=len(ids)).astype(np.bool_).tolist()
    ends = list(accumulate(lengths))
    spans = list(zip([0, *ends], ends, strict=False))
    return [Example(tuple(ids[start:end]), tuple(trained[start:end])) for start, end in spans]


def pack(examples: Sequence[Example], *, max_length: int, seed: int) -> list[Row]:
    """Shuffle, then fill rows: an example goes into the first of the last few rows that has room.

    The same examples and seed give the same rows, which is what makes training resumable.
    """
    order = list(range(len(examples)))
    Random(seed).shuffle(order)  # noqa: S311 - an order of data, no secret
    done: list[_OpenRow] = []
    still_open: list[_OpenRow] = []
    for number in order:
        example = examples[number]
        row = next((row for row in still_open if row.length + len(example.ids) <= max_length), None)
        if row is None:
            row = _OpenRow()
            still_open.append(row)
        row.take(example)
        if len(still_open) > _OPEN_ROWS:
            done.append(still_open.pop(0))
    return [Row(tuple(row.examples)) for row in (*done, *still_open)]


@dataclass(slots=True)
class _OpenRow:
    """A row that is being filled; its length is kept, for long rows are asked for it often."""

    examples: list[Example] = field(default_factory=list)
    length: int = 0

    def take(self, example: Example) -> None:
        self.examples.append(example)
        self.length += len(example.ids)


def batch_of(row: Row) -> Batch:
    """Return a row's tensors. A label is the next id of the same example, where that id is trained."""
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    for example in row.examples:
        ids += example.ids
        positions += range(len(example.ids))
        following = zip(example.ids[1:], example.trained[1:], strict=True)
        labels += [next_id if trained else IGNORED for next_id, trained in following]
        labels.append(IGNORED)
    return Batch(
        ids=torch.tensor([ids]),
        positions=torch.tensor([positions]),
        labels=torch.tensor([labels]),
        lengths=tuple(len(example.ids) for example in row.examples),
    )
