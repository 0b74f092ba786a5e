"""Messages and their parts, and the JSONL record that training, traces and serving share.

An assistant's turn is a list of parts in the order in which they stand in the model's context: what
the model wrote (text, reasoning, a search, a calculation, a refusal) and what the service put
there (results). `template.py` turns conversations into token ids.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, cast, get_args

from corpus.errors import InvalidRecord

Role = Literal["system", "user", "assistant"]
PartType = Literal["text", "search", "search_result", "calculate", "calculate_result", "reasoning", "refusal"]
Task = Literal[
    "rag_answer",
    "rag_refuse",
    "probe_known",
    "probe_refuse",
    "search",
    "calculate",
    "identity",
    "chat",
    "write_question",
]
Split = Literal["train", "dev", "test"]
RESULT_TYPES: frozenset[PartType] = frozenset({"search_result", "calculate_result"})


@dataclass(frozen=True, slots=True)
class SourcePassage:
    """A passage as it stands in the context: an id of the record's own, its text, maybe a title."""

    id: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a turn; `passages` belongs to search results, `text` to all others."""

    type: PartType
    text: str = ""
    passages: tuple[SourcePassage, ...] = ()

    @property
    def written_by_model(self) -> bool:
        """Whether the assistant wrote it; results are put there by the service."""
        return self.type not in RESULT_TYPES


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. System and user turns have exactly one text part."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text parts alone: what a reader sees of the turn."""
        return "".join(part.text for part in self.parts if part.type in {"text", "refusal"})


def system(text: str) -> Message:
    """Return a system turn."""
    return Message("system", (Part("text", text),))


def user(text: str) -> Message:
    """Return a user's turn."""
    return Message("user", (Part("text", text),))


def assistant(*parts: Part | str) -> Message:
    """Return an assistant's turn; a string stands for a text part."""
    return Message(
        "assistant", tuple(Part("text", part) if isinstance(part, str) else part for part in parts)
    )


@dataclass(frozen=True, slots=True)
class Meta:
    """What is known about a training record besides its messages."""

    gold: tuple[str, ...] = ()
    answerable: bool | None = None
    gold_passages: tuple[str, ...] = ()
    source: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """A conversation as training data: one line of a JSONL file."""

    id: str
    task: Task
    split: Split
    messages: tuple[Message, ...]
    meta: Meta = Meta()


def record_to_json(record: Record) -> str:
    """Return the record as one line, without the line's end; `record_from_json` undoes it."""
    meta: dict[str, object] = {"gold": list(record.meta.gold)}
    if record.meta.answerable is not None:
        meta["answerable"] = record.meta.answerable
    meta |= {
        "gold_passages": list(record.meta.gold_passages),
        "source": record.meta.source,
        "license": record.meta.license,
    }
    return json.dumps(
        {
            "id": record.id,
            "task": record.task,
            "split": record.split,
            "messages": [message_to_dict(message) for message in record.messages],
            "meta": meta,
        },
        ensure_ascii=False,
    )


def message_to_dict(message: Message) -> dict[str, object]:
    """Return the record's form of a turn: content is a string, or for the assistant a list of parts."""
    if message.role != "assistant":
        return {"role": message.role, "content": message.text}
    return {"role": message.role, "content": [_part_to_dict(part) for part in message.parts]}


def _part_to_dict(part: Part) -> dict[str, object]:
    if part.type != "search_result":
        return {"type": part.type, "text": part.text}
    return {"type": part.type, "passages": [_passage_to_dict(passage) for passage in part.passages]}


def _passage_to_dict(passage: SourcePassage) -> dict[str, object]:
    fields: dict[str, object] = {"id": passage.id, "text": passage.text}
    return fields | ({"title": passage.title} if passage.title else {})


def record_from_json(line: str) -> Record:
    """Read one line, strictly.

    Raises:
        InvalidRecord: no JSON, an unknown, missing or ill-typed field, or turns out of order; the
            message names the place.
    """
    try:
        value = json.loads(line)
    except ValueError as error:
        raise InvalidRecord(f"The record is no JSON ({error}); write one object a line.") from error
    fields = _object(value, "record", required={"id", "task", "split", "messages"}, optional={"meta"})
    messages = tuple(
        message_from_dict(item, f"messages[{n}]")
        for n, item in enumerate(_list(fields["messages"], "messages"))
    )
    _check_order(messages)
    return Record(
        id=_string(fields["id"], "id"),
        task=cast("Task", _choice(fields["task"], "task", get_args(Task))),
        split=cast("Split", _choice(fields["split"], "split", get_args(Split))),
        messages=messages,
        meta=_meta(fields.get("meta", {})),
    )


def message_from_dict(value: object, place: str = "message") -> Message:
    """Undo `message_to_dict`; an assistant's content may also be a plain string, one text part.

    Raises:
        InvalidRecord: as `record_from_json`; `place` begins the message.
    """
    fields = _object(value, place, required={"role", "content"})
    role = cast("Role", _choice(fields["role"], f"{place}.role", get_args(Role)))
    content = fields["content"]
    if isinstance(content, str):
        return Message(role, (Part("text", content),))
    if role != "assistant":
        raise InvalidRecord(f"{place}.content of a {role} turn must be a string.")
    items = _list(content, f"{place}.content")
    return Message(role, tuple(_part(item, f"{place}.content[{n}]") for n, item in enumerate(items)))


def _part(value: object, place: str) -> Part:
    if isinstance(value, Mapping) and value.get("type") == "search_result":
        fields = _object(value, place, required={"type", "passages"})
        passages = _list(fields["passages"], f"{place}.passages")
        return Part(
            "search_result",
            passages=tuple(_passage(item, f"{place}.passages[{n}]") for n, item in enumerate(passages)),
        )
    fields = _object(value, place, required={"type", "text"})
    kind = cast("PartType", _choice(fields["type"], f"{place}.type", get_args(PartType)))
    return Part(kind, _string(fields["text"], f"{place}.text"))


def _passage(value: object, place: str) -> SourcePassage:
    fields = _object(value, place, required={"id", "text"}, optional={"title"})
    return SourcePassage(
        id=_string(fields["id"], f"{place}.id"),
        text=_string(fields["text"], f"{place}.text"),
        title=_string(fields.get("title", ""), f"{place}.title"),
    )


def _meta(value: object) -> Meta:
    optional = {"gold", "answerable", "gold_passages", "source", "license"}
    fields = _object(value, "meta", required=set(), optional=optional)
    answerable = fields.get("answerable")
    if not (answerable is None or isinstance(answerable, bool)):
        raise InvalidRecord("meta.answerable must be true or false.")
    return Meta(
        gold=_strings(fields.get("gold", []), "meta.gold"),
        answerable=answerable,
        gold_passages=_strings(fields.get("gold_passages", []), "meta.gold_passages"),
        source=_string(fields.get("source", ""), "meta.source"),
        license=_string(fields.get("license", ""), "meta.license"),
    )


def _check_order(messages: tuple[Message, ...]) -> None:
    """At most one system turn, first; then user and assistant take turns, the user first."""
    turns = messages[1:] if messages and messages[0].role == "system" else messages
    if not turns:
        raise InvalidRecord("messages must hold at least one user turn.")
    for n, message in enumerate(turns):
        expected = "assistant" if n % 2 else "user"
        if message.role != expected:
            raise InvalidRecord(f"Turn {n + 1} is by {message.role}, but must be by {expected}.")


def _object(
    value: object,
    place: str,
    *,
    required: set[str],
    optional: Collection[str] = (),
) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidRecord(f"{place} must be an object.")
    if missing := sorted(required - value.keys()):
        raise InvalidRecord(f"{place} lacks {', '.join(missing)}.")
    if unknown := sorted(value.keys() - required - set(optional)):
        raise InvalidRecord(f"{place} has unknown fields: {', '.join(unknown)}.")
    return value


def _list(value: object, place: str) -> list[object]:
    if not isinstance(value, list):
        raise InvalidRecord(f"{place} must be a list.")
    return value


def _string(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise InvalidRecord(f"{place} must be a string.")
    return value


def _strings(value: object, place: str) -> tuple[str, ...]:
    return tuple(_string(item, f"{place}[{n}]") for n, item in enumerate(_list(value, place)))


def _choice(value: object, place: str, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise InvalidRecord(f"{place} must be one of {', '.join(choices)}.")
    return value
