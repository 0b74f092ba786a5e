"""Importers of further reading data: real search questions, two-passage questions, definitions."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from corpus.sentences import sentence_spans
from posttrain.data.files import Json
from posttrain.data.reading import Source, as_question, grounded_record, split_of
from rag_service.answering.conversation import Meta, Part, Record, SourcePassage, assistant, user
from rag_service.evaluation.measures import contains_gold

QED = Source("QED", "CC BY-SA 3.0")
HOTPOT = Source("HotpotQA by way of HaluEval", "MIT; text CC BY-SA 4.0")
WIKIPEDIA = Source("Wikipedia", "CC BY-SA 4.0")
_LONGEST_ANSWER = 12  # words
_NAME_ENDS = re.compile(r" \(| is | was | are | were |, ")
_DEFINITION = re.compile(
    r"^(?P<name>[^.]{3,60}?) (?:\([^)]*\) )?(?P<verb>is|was|are|were) "
    r"(?P<what>(?:an?|the|one) [^.]{8,140})\.(?:\s|$)"
)
PERSON = re.compile(r"\bborn\b|\(\d{3,4}\s*[\u2013-]\s*\d{3,4}\)|\d{4} [\u2013-] .{0,20}\d{4}\)")


def import_qed(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Read QED rows (title, question, sentences, answers): search questions as people type them.

    Every second gets a capital letter and its question mark, so that both forms are known.
    """
    for number, row in enumerate(rows):
        answers = [str(each) for each in _list(row["answers"]) if str(each).strip()]
        title = str(row["title"])
        if not answers or len(answers[0].split()) > _LONGEST_ANSWER:
            continue
        question = str(row["question"])
        passage = SourcePassage(f"{row['id']}-passage", " ".join(map(str, _list(row["sentences"]))), title)
        yield grounded_record(
            str(row["id"]),
            as_question(question) if number % 2 else question,
            passage,
            answers,
            split=split_of(title),
            source=QED,
        )


def import_halueval(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Read HaluEval's questions (HotpotQA's, over two passages): passages, question, answer."""
    for row in rows:
        texts, answer = [str(each).strip() for each in _list(row["passages"])], str(row["answer"]).strip()
        if not answer or len(answer.split()) > _LONGEST_ANSWER or not all(texts):
            continue
        passages = [
            SourcePassage(f"{row['id']}-{place}", text, _NAME_ENDS.split(text, maxsplit=1)[0][:60])
            for place, text in enumerate(texts)
        ]
        record = grounded_record(
            str(row["id"]),
            str(row["question"]).strip(),
            passages[0],
            [answer[:1].upper() + answer[1:] if answer in {"yes", "no"} else answer],
            split=split_of(passages[0].title),
            source=HOTPOT,
        )
        search, *_ = record.messages[-1].parts
        markers = "".join(f"[{place}]" for place in range(1, len(passages) + 1))
        reply = Part("text", f"{record.meta.gold[0].rstrip('.')} {markers}.")
        found = Part("search_result", passages=tuple(passages))
        yield replace(
            record,
            messages=(*record.messages[:-1], assistant(search, found, reply)),
            meta=replace(record.meta, gold_passages=tuple(each.id for each in passages)),
        )


def import_definitions(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Read Wikipedia pages (title, paragraphs); their first sentence answers who or what something is."""
    for row in rows:
        title = str(row["title"])
        name = title.partition(" (")[0]
        text = next((str(each) for each in _list(row["paragraphs"]) if len(str(each).split()) > 12), "")  # noqa: PLR2004 - a paragraph, no caption
        match = _DEFINITION.match(text)
        if not match or not set(name.split()) & set(match["name"].split()):
            continue
        asks = "Who" if PERSON.search(text[:200]) else "What"
        verb = match["verb"] if match["verb"] in {"is", "was"} else "is"
        yield grounded_record(
            f"wikipedia-{title}",
            f"{asks} {verb} {name}?",
            SourcePassage(f"wikipedia-{title}-0", text, title),
            [match["what"]],
            split=split_of(title),
            source=WIKIPEDIA,
        )


def follow_ups(records: Iterable[Record]) -> Iterator[Record]:
    """Yield records that go on from the one before about the same passage, as in a conversation.

    The search takes the question before along, as the service does.
    """
    before: Record | None = None
    for record in records:
        if before and _passage(before) == _passage(record) and before.task == "rag_answer":
            asked, said = before.messages[0].text, before.messages[-1].text
            question = record.messages[0].text
            _, found, *reply = record.messages[-1].parts
            turn = assistant(Part("search", f"{asked} {question}"), found, *reply)
            yield replace(
                record,
                id=f"{record.id}-follow-up",
                messages=(user(asked), assistant(said), user(question), turn),
            )
        before = record


def closed_book(rows: Iterable[dict[str, Json]], source: Source) -> Iterator[Record]:
    """Read questions on facts that a small model does not hold; with search off the reply is a refusal.

    To be used where probing found (nearly) nothing known: see posttrain/JOURNAL.md.
    """
    for number, row in enumerate(rows):
        answers = row.get("answers", row.get("answer"))
        golds = tuple(str(each) for each in (answers if isinstance(answers, list) else [answers]))
        question = str(row["question"]).strip()
        yield Record(
            id=f"closed-{source.name.lower().replace(' ', '-')}-{number}",
            task="probe_refuse",
            split=split_of(str(row.get("s_wiki_title") or question), dev_percent=10),
            messages=(
                user(as_question(question) if number % 2 else question),
                assistant(Part("refusal", "I do not know that.")),
            ),
            meta=Meta(gold=golds, answerable=False, source=source.name, license=source.license),
        )


def sentence_with(text: str, answers: Sequence[str]) -> str | None:
    """Return the first sentence of a text that holds one of the answers."""
    sentences = (text[start:end] for start, end in sentence_spans(text))
    return next((each for each in sentences if contains_gold(each, answers)), None)


def _passage(record: Record) -> str:
    return record.messages[-1].parts[1].passages[0].id


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]
