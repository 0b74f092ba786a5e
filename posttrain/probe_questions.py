"""Questions to probe with: lines of public question sets, or records about the user's own documents."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from corpus.errors import InvalidRecord
from posttrain.data.files import Json, read_json_lines
from posttrain.data.reading import Source
from rag_service.answering.conversation import Record, SourcePassage, record_from_json


@dataclass(frozen=True, slots=True)
class ProbeQuestion:
    """A question with accepted answers; what is known of its subject, and the passage that answers it.

    `popularity` is any count that grows with how well known the subject is, such as page views.
    """

    id: str
    text: str
    answers: tuple[str, ...]
    source: Source
    topic: str = ""
    popularity: float | None = None
    passage: SourcePassage | None = None


def read_probe_questions(path: Path, source: Source) -> Iterator[ProbeQuestion]:
    """Yield a file's questions, with ids that stay the same as long as the file does.

    A line is a record with an answer, or an object with `question`, `answers` (or `answer`) and
    maybe `prop` (the topic, else the file's name) and `pop` (page views), as PopQA has them. Records
    without an answer and those that need the turns before them are left out.

    Raises:
        InvalidRecord: a line is neither; the message names it.
    """
    for number, row in enumerate(read_json_lines(path), start=1):
        question_id = f"{path.name.partition('.')[0]}-{number}"
        if "messages" in row:
            question = _from_record(question_id, _record(row))
        else:
            question = _from_row(question_id, row, source, place=f"{path.name}, line {number}")
        if question:
            yield question


def spread(questions: Sequence[ProbeQuestion]) -> list[ProbeQuestion]:
    """Return the questions in an order of which every beginning is spread evenly over popularity.

    The ranks are taken in van der Corput's order (1935): first the least popular, then the middle, then the
    quarters. So a run that is stopped has asked about all of the range. Questions of like popularity, or of
    none, are in the order of their ids' hashes.
    """
    ranked = sorted(questions, key=lambda each: (each.popularity or 0.0, crc32(each.id.encode())))
    bits = max(len(ranked) - 1, 1).bit_length()
    places = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [ranked[place] for place in places if place < len(ranked)]


def _record(row: dict[str, Json]) -> Record:
    return record_from_json(json.dumps(row))


def _from_record(question_id: str, record: Record) -> ProbeQuestion | None:
    turns = [message for message in record.messages if message.role == "user"]
    if len(turns) != 1 or not record.meta.gold:
        return None
    passages = [passage for message in record.messages for part in message.parts for passage in part.passages]
    gold = [passage for passage in passages if passage.id in record.meta.gold_passages]
    return ProbeQuestion(
        id=question_id,
        text=turns[0].text,
        answers=record.meta.gold,
        source=Source(record.meta.source, record.meta.license),
        topic=gold[0].title if gold else "",
        passage=gold[0] if gold else None,
    )


def _from_row(question_id: str, row: dict[str, Json], source: Source, *, place: str) -> ProbeQuestion:
    answers = row.get("answers", row.get("answer"))
    if isinstance(answers, str):
        answers = [answers]
    question = row.get("question")
    if not isinstance(question, str) or not isinstance(answers, list) or not answers:
        raise InvalidRecord(f"{place} needs a question and its answers.")
    popularity = row.get("pop")
    return ProbeQuestion(
        id=question_id,
        text=question.strip(),
        answers=tuple(map(str, answers)),
        source=source,
        topic=str(row.get("prop") or question_id.rpartition("-")[0]),
        popularity=float(popularity) if isinstance(popularity, int | float) else None,
    )
