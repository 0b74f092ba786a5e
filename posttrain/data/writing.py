"""How a chat model is asked for a question about a passage, and how what it writes is read.

The same in training and in use.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from posttrain.data.grounded import grounded_of
from rag_service.answering.conversation import Message, Record, SourcePassage, assistant, user

REQUEST = "Write a question that this text answers, and the answer in a few words of the text."
_FORM = re.compile(r"\s*(?:Question|Q): *(?P<question>[^\n]+?)\s*\n+\s*(?:Answer|A): *(?P<answer>[^\n]+)")


@dataclass(frozen=True, slots=True)
class WrittenQuestion:
    """A question about a passage and its answer, in words of the passage."""

    question: str
    answer: str


def writing_messages(passage: SourcePassage) -> tuple[Message, ...]:
    """Return the conversation that asks for a question; the same in training and in use."""
    title = f"{passage.title}\n" if passage.title else ""
    return (user(f"{REQUEST}\n\n{title}{passage.text}"),)


def read_question(text: str) -> WrittenQuestion | None:
    """Read what a model wrote; None if it is not in the form that was asked for."""
    found = _FORM.match(text)
    if found is None:
        return None
    return WrittenQuestion(found["question"].strip(), found["answer"].strip().rstrip("."))


def writing_records(records: Iterable[Record]) -> Iterator[Record]:
    """Turn records with a gold passage around: the passage is given, question and answer are written.

    A question that leans on the turns before it is left out.
    """
    for record in records:
        parts = grounded_of(record)
        if parts is None or len(parts.gold) != 1 or len(parts.history) != 1:
            continue
        reply = f"Question: {parts.question}\nAnswer: {record.meta.gold[0]}"
        yield Record(
            id=f"{record.id}-written",
            task="write_question",
            split=record.split,
            messages=(*writing_messages(parts.gold[0]), assistant(reply)),
            meta=record.meta,
        )
