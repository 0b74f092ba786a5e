"""Importers of general chat: OASST1 message trees, `messages` and ShareGPT JSON, instruction lists."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from posttrain.data.files import Json
from posttrain.data.reading import Source, split_of
from rag_service.answering.conversation import (
    Message,
    Meta,
    Part,
    Record,
    Role,
    assistant,
    user,
)

OASST1 = Source("OASST1", "Apache-2.0")
DOLLY = Source("Dolly", "CC BY-SA 3.0")
_ROLES: dict[str, Role] = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
}


def import_messages(rows: Iterable[dict[str, Json]], source: Source) -> Iterator[Record]:
    """Read rows of ``messages`` (role, content: UltraChat) or ``conversations`` (from, value: ShareGPT).

    Conversations with other roles (tool calls) or out of turn are left out.
    """
    for number, row in enumerate(rows):
        turns = row.get("messages") or row.get("conversations") or []
        messages = _messages(turns if isinstance(turns, list) else [])
        if messages:
            yield _chat(f"{source.name.lower()}-{row.get('id', number)}", messages, source)


def import_oasst1(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Read message rows (message_id, parent_id, role, text, rank, lang): one record an English tree.

    Its turns are the tree's best path, the reply of the lowest rank each time, cut after the last
    assistant turn.
    """
    by_parent: dict[str, list[dict[str, Json]]] = {}
    roots: list[dict[str, Json]] = []
    for row in rows:
        if row.get("deleted") or row.get("lang", "en") != "en":
            continue
        parent = row.get("parent_id")
        (by_parent.setdefault(str(parent), []) if parent else roots).append(row)
    for root in roots:
        path = [root]
        while replies := by_parent.get(str(path[-1]["message_id"])):
            path.append(min(replies, key=_rank))
        messages = _messages([{"role": row["role"], "content": row["text"]} for row in path])
        if messages:
            yield _chat(f"oasst1-{root['message_id']}", messages, OASST1)


def import_instructions(rows: Iterable[dict[str, Json]], source: Source = DOLLY) -> Iterator[Record]:
    """Read ``{instruction, context, response}`` rows; those with a context are left to `reading`."""
    for number, row in enumerate(rows):
        if row.get("context"):
            continue
        messages = (user(str(row["instruction"]).strip()), assistant(str(row["response"]).strip()))
        yield _chat(f"{source.name.lower()}-{number}", messages, source)


def import_feedback(records: Iterable[Record], source: Source) -> Iterator[Record]:
    """Take what readers of the service's answers found good or corrected, with the licence that it is given.

    Answers to one question fall on one side, so that none is trained on and evaluated with.
    """
    for record in records:
        question = next(message.text for message in record.messages if message.role == "user")
        meta = replace(record.meta, license=source.license)
        yield replace(record, split=split_of(question), meta=meta)


def _chat(record_id: str, messages: tuple[Message, ...], source: Source) -> Record:
    return Record(
        id=record_id,
        task="chat",
        split=split_of(record_id),
        messages=messages,
        meta=Meta(source=source.name, license=source.license),
    )


def _messages(turns: list[Json]) -> tuple[Message, ...]:
    """Return the turns up to the last assistant turn; nothing if they are not in order."""
    messages: list[Message] = []
    for turn in turns:
        if not isinstance(turn, dict):
            return ()
        role = _ROLES.get(str(turn.get("role") or turn.get("from")))
        content = str(turn.get("content") or turn.get("value") or "").strip()
        if role is None or not content:
            return ()
        messages.append(Message(role, (Part("text", content),)))
    while messages and messages[-1].role != "assistant":
        messages.pop()
    spoken = [message.role for message in messages if message.role != "system"]
    in_turn = all(role == ("assistant" if n % 2 else "user") for n, role in enumerate(spoken))
    leading = all(message.role != "system" for message in messages[1:])
    return tuple(messages) if spoken and in_turn and leading else ()


def _rank(row: dict[str, Json]) -> float:
    rank = row.get("rank")
    return float(rank) if isinstance(rank, int | float) else float("inf")
