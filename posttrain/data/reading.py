"""Importers of reading data: a passage, a question about it, an answer or none.

Each record is what the service's own tool loop would have written: a search, its result, and then an
answer that cites the passage, or a refusal where the passage does not say.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from zlib import crc32

from posttrain.data.files import Json
from rag_service.answering.conversation import (
    Message,
    Meta,
    Part,
    Record,
    SourcePassage,
    Split,
    assistant,
    user,
)

REFUSAL = "I could not find that in the documents."
_UNANSWERABLE = "CANNOTANSWER"


@dataclass(frozen=True, slots=True)
class Source:
    """Where records come from; travels with each of them into the model card."""

    name: str
    license: str


SQUAD = Source("SQuAD 2.0", "CC BY-SA 4.0")
BOOLQ = Source("BoolQ", "CC BY-SA 3.0")
QUAC = Source("QuAC", "CC BY-SA 4.0")


def split_of(document: str, *, dev_percent: int = 5) -> Split:
    """Return train or dev for a document's name: all its records fall on one side, on every run."""
    return "dev" if crc32(document.encode()) % 100 < dev_percent else "train"


def grounded_record(
    record_id: str,
    question: str,
    passage: SourcePassage,
    answers: Iterable[str],
    *,
    split: Split,
    source: Source,
    history: tuple[Message, ...] = (),
) -> Record:
    """Return a record that answers from `passage`, or refuses if there are no `answers`."""
    gold = tuple(dict.fromkeys(answer.strip() for answer in answers if answer.strip()))
    found = Part("search_result", passages=(passage,))
    reply = Part("text", f"{gold[0].rstrip('.')} [1].") if gold else Part("refusal", REFUSAL)
    return Record(
        id=record_id,
        task="rag_answer" if gold else "rag_refuse",
        split=split,
        messages=(*history, user(question), assistant(Part("search", question), found, reply)),
        meta=Meta(
            gold=gold,
            answerable=bool(gold),
            gold_passages=(passage.id,) if gold else (),
            source=source.name,
            license=source.license,
        ),
    )


def import_squad(data: Json) -> Iterator[Record]:
    """Read the SQuAD 2.0 layout; a question marked impossible becomes a refusal."""
    for article in _objects(_field(data, "data")):
        title = str(article["title"]).replace("_", " ")
        split = split_of(title)
        for number, paragraph in enumerate(_objects(article["paragraphs"])):
            passage = SourcePassage(f"{title}#{number}", str(paragraph["context"]), title)
            for item in _objects(paragraph["qas"]):
                answers = [str(answer["text"]) for answer in _objects(item["answers"])]
                possible = not item.get("is_impossible", False)
                yield grounded_record(
                    f"squad-{item['id']}",
                    str(item["question"]).strip(),
                    passage,
                    answers if possible else (),
                    split=split,
                    source=SQUAD,
                )


def import_boolq(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Read BoolQ rows (question, passage, label); rows without a label are left out."""
    for number, row in enumerate(rows):
        if not isinstance(row.get("label"), bool):
            continue
        title, _, text = str(row["passage"]).partition(" -- ")
        passage = SourcePassage(f"boolq-{number}-passage", text or title, title if text else "")
        yield grounded_record(
            f"boolq-{number}",
            as_question(str(row["question"])),
            passage,
            ["Yes" if row["label"] else "No"],
            split=split_of(title),
            source=BOOLQ,
        )


def import_quac(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Read QuAC as turns over one passage: each question is a record whose history are those before.

    A row has `question` ("question1: …" a line) and `answer` ("possible answers for question1:" and
    then a line of alternatives).
    """
    for number, row in enumerate(rows):
        passage = SourcePassage(f"quac-{number}-passage", str(row["passage"]).removesuffix(_UNANSWERABLE))
        split = split_of(passage.text[:80])
        history: tuple[Message, ...] = ()
        for turn, (question, answer) in enumerate(_quac_turns(str(row["question"]), str(row["answer"]))):
            record = grounded_record(
                f"quac-{number}-{turn}",
                question,
                passage,
                [answer] if answer else (),
                split=split,
                source=QUAC,
                history=history,
            )
            yield record
            history = (*history, user(question), assistant(answer or REFUSAL))


def _quac_turns(questions: str, answers: str) -> Iterator[tuple[str, str]]:
    asked = [line.partition(": ")[2].strip() for line in questions.splitlines()]
    given = [line.strip() for line in answers.splitlines() if not line.startswith("possible answers")]
    for question, answer in zip(asked, given, strict=False):
        unanswerable = _UNANSWERABLE in answer
        yield as_question(question), "" if unanswerable else _first_alternative(answer)


def _first_alternative(answer: str) -> str:
    """The alternatives stand side by side without a mark; the first sentence is the safest cut."""
    return answer.partition(". ")[0].partition(", In ")[0].strip(" ,.")


def as_question(text: str) -> str:
    """Return a search question, in lower case and without a mark, as people write a whole one."""
    text = text.strip().rstrip("?").rstrip()
    return f"{text[:1].upper()}{text[1:]}?"


def _field(value: Json, name: str) -> Json:
    return value[name] if isinstance(value, dict) and name in value else value


def _objects(value: Json) -> Iterator[dict[str, Json]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))
