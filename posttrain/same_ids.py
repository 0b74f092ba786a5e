"""Holds what is trained on against what is served: the same ids, record by record.

The trainer renders a whole conversation at once. The service opens a turn with the turns before it, puts
in each part as it comes (numbering the passages on), and reads the turn's end from the model; it does so
with the tokenizer that lies beside the adapter.
"""

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from posttrain.examples import Example, example_of
from rag_service.answering.conversation import Message, Record
from rag_service.answering.markers import TURN_END
from rag_service.answering.template import AnswererTemplate, Template, answerer_vocabulary, load_template
from rag_service.answering.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Difference:
    """A record of which the service would read or write other ids than were trained."""

    record: str
    reason: str


def trained_template(base: Path) -> AnswererTemplate:
    """Return the form in which a base model's folder is trained."""
    return AnswererTemplate(answerer_vocabulary(Vocabulary.from_file(base / "tokenizer.json")))


def served_template(base: Path, adapter: Path | None = None) -> Template:
    """Return the form in which an adapter is served; without one, that of the adapter to be trained."""
    if adapter:
        return load_template(base, adapter)
    with tempfile.TemporaryDirectory() as folder:
        trained_template(base).vocabulary.save(Path(folder) / "tokenizer.json")
        return load_template(base, Path(folder))


def differences(records: Iterable[Record], trained: Template, served: Template) -> Iterator[Difference]:
    """Yield the records whose ids differ, or of which the loss counts what the model does not write."""
    for record in records:
        if reason := _reason(record, example_of(record, trained), served):
            yield Difference(record.id, reason)


def _reason(record: Record, example: Example, served: Template) -> str | None:
    turns = [number for number, message in enumerate(record.messages) if message.role == "assistant"]
    counted = [False] * len(example.ids)
    for number in turns:
        pieces = list(_served_turn(record.messages[: number + 1], served))
        ids = [id_ for piece, _ in pieces for id_ in piece]
        until = len(ids) if number + 1 < len(record.messages) else None
        if list(example.ids[:until]) != ids:
            return f"turn {number + 1} is served with other ids than it is trained with"
        ends = accumulate(len(piece) for piece, _ in pieces)
        for (piece, written), end in zip(pieces, ends, strict=True):
            if written:
                counted[end - len(piece) : end] = [True] * len(piece)
    if list(example.trained) != counted:
        return "the loss counts other ids than the model writes"
    return None


def _served_turn(messages: tuple[Message, ...], served: Template) -> Iterator[tuple[list[int], bool]]:
    """Yield the ids of an assistant's turn piece by piece, and whether the model writes them."""
    *before, turn = messages
    yield served.render(before, add_generation_prompt=True).ids, False
    first_number = 1
    for part in turn.parts:
        yield served.render_parts([part], first_number=first_number).ids, part.written_by_model
        first_number += len(part.passages)
    yield [served.vocabulary.control[TURN_END]], True
