"""A record whose last turn searches once and then answers or refuses: taken apart, and put together."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from posttrain.data.reading import REFUSAL
from rag_service.answering.conversation import (
    Message,
    Part,
    Record,
    SourcePassage,
    assistant,
)

_MARKER = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Grounded:
    """The turns before the last, the search, what it found, and the reply."""

    record: Record
    history: tuple[Message, ...]
    search: Part
    passages: tuple[SourcePassage, ...]
    reply: tuple[Part, ...]

    @property
    def question(self) -> str:
        """The question itself."""
        return self.history[-1].text

    @property
    def gold(self) -> tuple[SourcePassage, ...]:
        """The passages that the answer rests on; none of a refusal."""
        return tuple(each for each in self.passages if each.id in self.record.meta.gold_passages)


def grounded_of(record: Record) -> Grounded | None:
    """Take a record apart; None if it is of another shape."""
    last = record.messages[-1]
    kinds = [part.type for part in last.parts[:2]]
    if last.role != "assistant" or kinds != ["search", "search_result"] or len(last.parts) < len(kinds) + 1:
        return None
    search, found, *reply = last.parts
    if any(part.type not in {"text", "refusal"} for part in reply):
        return None
    return Grounded(record, record.messages[:-1], search, found.passages, tuple(reply))


def with_passages(parts: Grounded, passages: Sequence[SourcePassage]) -> Record:
    """Return the record with other passages; its markers follow their passages to the new places."""
    places = {passage.id: number for number, passage in enumerate(passages, start=1)}
    moved = {number: places[old.id] for number, old in enumerate(parts.passages, start=1) if old.id in places}

    def renumber(match: re.Match[str]) -> str:
        return f"[{moved[int(match[1])]}]" if int(match[1]) in moved else match[0]

    reply = [replace(part, text=_MARKER.sub(renumber, part.text)) for part in parts.reply]
    return _record(parts, passages, *reply)


def refused(parts: Grounded, passages: Sequence[SourcePassage], *, suffix: str) -> Record:
    """Return a record with the same question, these passages, and a refusal for a reply."""
    record = _record(parts, passages, Part("refusal", REFUSAL))
    meta = replace(record.meta, gold=(), answerable=False, gold_passages=())
    return replace(record, id=f"{record.id}-{suffix}", task="rag_refuse", meta=meta)


def _record(parts: Grounded, passages: Sequence[SourcePassage], *reply: Part) -> Record:
    found = Part("search_result", passages=tuple(passages))
    return replace(parts.record, messages=(*parts.history, assistant(parts.search, found, *reply)))
