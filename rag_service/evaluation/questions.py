"""Sets of questions with gold answers and gold evidence, as JSONL files."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from corpus.errors import InvalidRecord
from rag_service.answering.conversation import Message, message_from_dict, user


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sentence that the answer rests on: `quote` stands in the document with this external id."""

    document: str
    quote: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question, maybe with the conversation before it, and what a right reply to it is.

    `messages` ends with the question. `answers` are the accepted answers, any one of which will do;
    `evidence` are the sentences that are needed, all of them. A question that is not answerable has
    neither. `expression` is the arithmetic that leads to the answer, if any.
    """

    id: str
    kind: str
    messages: tuple[Message, ...]
    answers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    expression: str | None = None

    @property
    def text(self) -> str:
        """The question itself."""
        return self.messages[-1].text

    @property
    def answerable(self) -> bool:
        """Whether the documents hold the answer."""
        return bool(self.answers)


def read_questions(path: Path) -> tuple[Question, ...]:
    """Read a JSONL file, one question a line.

    Fields: `id`, `kind`, `question` or `messages`, `answerable`, and where they apply `answers`,
    `gold_documents`, `gold_quotes` (one for each gold document) and `expression`.

    Raises:
        InvalidRecord: a line does not fit; the message names it.
        OSError: the file can not be read.
    """
    questions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if line.strip():
            try:
                questions.append(_question(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError, InvalidRecord) as error:
                raise InvalidRecord(f"{path.name}, line {number} is no question: {error}") from error
    if not questions:
        raise InvalidRecord(f"{path.name} holds no questions; write one JSON object a line.")
    return tuple(questions)


def _question(fields: Mapping[str, object]) -> Question:
    answers = _strings(fields, "answers")
    documents, quotes = _strings(fields, "gold_documents"), _strings(fields, "gold_quotes")
    if fields["answerable"] is not bool(answers):
        raise ValueError("answerable must be true with answers, and false without")
    expression = fields.get("expression")
    return Question(
        id=str(fields["id"]),
        kind=str(fields["kind"]),
        messages=_messages(fields),
        answers=answers,
        evidence=tuple(Evidence(*pair) for pair in zip(documents, quotes, strict=True)),
        expression=None if expression is None else str(expression),
    )


def _messages(fields: Mapping[str, object]) -> tuple[Message, ...]:
    if "question" in fields:
        return (user(str(fields["question"])),)
    turns = fields["messages"]
    if not isinstance(turns, list) or not turns:
        raise ValueError("messages must be a list of turns")
    return tuple(message_from_dict(turn) for turn in turns)


def _strings(fields: Mapping[str, object], name: str) -> tuple[str, ...]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"{name} must be a list of strings")
    return tuple(value)
