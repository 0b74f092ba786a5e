"""What readers thought of answers, and what models can learn from it."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.errors import AnswerNotFound
from corpus.ids import new_id
from corpus.models import Feedback, Trace
from rag_service.answering.conversation import (
    Message,
    Meta,
    Part,
    Record,
    SourcePassage,
    assistant,
    message_from_dict,
)


def give_feedback(
    session: Session, answer_id: str, *, rating: str, comment: str | None, correction: str | None
) -> str:
    """Keep what a reader thought of an answer and return the feedback's id.

    Raises:
        AnswerNotFound: no trace of such an answer is kept.
    """
    if session.scalar(select(Trace.id).where(Trace.answer_id == answer_id)) is None:
        raise AnswerNotFound(f"There is no trace of an answer {answer_id!r}; feedback needs one.")
    row = Feedback(
        id=new_id("fbk"), answer_id=answer_id, rating=rating, comment=comment, correction=correction
    )
    session.add(row)
    session.flush()
    return row.id


def training_records(session: Session) -> Iterator[Record]:
    """Yield a conversation for each answer that was good or was corrected, oldest first.

    It ends with the answer as it should have been: the correction, else what the service said. Answers
    that were only called bad teach nothing of what is right, and are left out.
    """
    statement = select(Feedback, Trace).join(Trace, Trace.answer_id == Feedback.answer_id)
    for feedback, trace in session.execute(statement.order_by(Feedback.id)).yield_per(100):
        wanted = feedback.correction or (
            trace.record["result"]["answer"] if feedback.rating == "good" else ""
        )
        if wanted:
            yield _record(feedback, trace.record, wanted)


def _record(feedback: Feedback, record: Mapping[str, Any], wanted: str) -> Record:
    result = record["result"]
    refused = result["status"] == "refused" and feedback.correction is None
    asked = tuple(message_from_dict(message) for message in record["request"]["messages"])
    read = tuple(
        SourcePassage(passage["chunk_id"], passage["text"], passage["title"])
        for passage in result["passages"]
        if passage["in_context"]
    )
    return Record(
        id=feedback.id,
        task="rag_refuse" if refused else "rag_answer",
        split="train",
        messages=(*asked, _answer(asked[-1].text, result["rewritten_query"], read, wanted, refused=refused)),
        meta=Meta(gold=() if refused else (wanted,), answerable=not refused, source="feedback"),
    )


def _answer(
    question: str, rewritten: str | None, read: tuple[SourcePassage, ...], wanted: str, *, refused: bool
) -> Message:
    found = (Part("search", rewritten or question), Part("search_result", passages=read)) if read else ()
    return assistant(*found, Part("refusal" if refused else "text", wanted))
