"""Records to rows of token ids: rendered as they are served, packed so that nothing leaks.

Packing puts several conversations into one row of fixed length, so that no step is spent on padding.
Each conversation keeps its own positions and attends to itself alone (Krell et al. 2021,
arXiv:2107.02027, section 3).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

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


def pack(examples: Sequence[Example], *, max_length: int, seed: int) -> list[Row]:
    """Shuffle, then fill rows: an example goes into the first of the last few rows that has room.

    The same examples and seed give the same rows, which is what makes training resumable.
    """
    order = list(range(len(examples)))
    Random(seed).shuffle(order)  # noqa: S311 - an order of data, no secret
    done: list[list[Example]] = []
    still_open: list[list[Example]] = []
    for number in order:
        example = examples[number]
        room = (row for row in still_open if _length(row) + len(example.ids) <= max_length)
        row = next(room, None)
        if row is None:
            row = []
            still_open.append(row)
        row.append(example)
        if len(still_open) > _OPEN_ROWS:
            done.append(still_open.pop(0))
    return [Row(tuple(row)) for row in (*done, *still_open)]


def _length(row: Sequence[Example]) -> int:
    return sum(len(example.ids) for example in row)


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
