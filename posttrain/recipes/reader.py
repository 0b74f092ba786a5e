"""Trains the reader that finds answers in passages: data, training, a few numbers on what was held back.

    python posttrain/recipes/reader.py SOURCES OUT [PART]

SOURCES holds the files as their makers publish them (.xz or plain); OUT gets the reader. PART is how many of
the examples one run takes (1/2: every second one, from the first on; 2/2: from the second on). A reader
that is in OUT already is gone on from, so that long training can be cut into runs. Six of SQuAD's articles
are kept out, the last by name, for `benchmarks/reader.py`. All of it takes 65 minutes of one core with
AVX-512 BF16.
"""

# ruff: noqa: INP001, T201 - a script, run by its path
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from corpus.embedding import find_model, hash_weights
from posttrain.data import more_reading, reading
from posttrain.data.distractors import PassagePool
from posttrain.data.excerpts import Excerpting, in_excerpts
from posttrain.data.files import Json, read_json, read_json_lines
from posttrain.data.reading import Source, grounded_record, split_of
from posttrain.data.swaps import about_others, changed_facts
from posttrain.reader import ReaderLoss, ReaderPlan, save_reader, train_reader
from posttrain.reader_examples import ReaderExample, reader_examples
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.retrieval.pairs import PairTokenizer
from rag_service.retrieval.reader import BASE, CONFIG_FILE, load_reader

KEPT_OUT = 6  # articles
MEDQUAD = Source("MedQuAD", "CC BY 4.0")
ONE = Excerpting(counts=(1.0,), whole=0.75, most_words=110, headings=0.3)
TWO = Excerpting(counts=(0.0, 1.0), whole=0.75, most_words=110, headings=0.3)
_MOST_WORDS = 190
_MOST_TOKENS = 320  # of a pair


def make(sources: Path, random: Random) -> tuple[list[Record], list[Record]]:
    """Return the records to train on, and those of SQuAD's kept-out articles."""
    squad = list(reading.import_squad(read_json(find_file(sources, "squad2*"))))
    titles = sorted({title_of(each) for each in squad})
    out = set(titles[-KEPT_OUT:])
    learned = [each for each in squad if title_of(each) not in out and each.split == "train"]
    held = [each for each in squad if title_of(each) in out]
    qed = _train(more_reading.import_qed(read_json_lines(find_file(sources, "qed*"))))
    hotpot = _train(more_reading.import_halueval(read_json_lines(find_file(sources, "halueval*"))))
    boolq = _train(reading.import_boolq(read_json_lines(find_file(sources, "boolq*"))))
    pages = _train(more_reading.import_definitions(read_json_lines(find_file(sources, "wikipedia_pages*"))))
    health = _train(import_medquad(read_json_lines(find_file(sources, "medquad*"))))
    possible = [each for each in learned if each.task == "rag_answer"]
    records = [
        *beside(possible, possible, TWO, random),
        *_alone(each for each in learned if each.task == "rag_refuse"),
        *_alone(about_others(learned)),
        *_some(changed_facts(learned), 500, random),
        *beside(qed, qed, TWO, random),
        *_some(_alone(about_others(qed)), 1000, random),
        *beside(
            random.sample(hotpot, min(4500, len(hotpot))),
            hotpot,
            Excerpting(counts=(0, 0, 1), whole=0.9),
            random,
        ),
        *beside(random.sample(boolq, min(1500, len(boolq))), boolq, TWO, random),
        *beside(pages, pages, TWO, random),
        *beside(random.sample(health, min(1200, len(health))), health, TWO, random),
    ]
    return records, held


def import_medquad(rows: Iterable[dict[str, Json]]) -> Iterator[Record]:
    """Read MedQuAD rows: the answer is a passage, with no shorter answer in it."""
    for row in rows:
        text, focus = str(row["answer"]), str(row["focus"])
        passage = SourcePassage(f"medquad-{row['id']}", text, focus)
        yield grounded_record(
            f"medquad-{row['id']}",
            str(row["question"]),
            passage,
            ["yes"],
            split=split_of(focus),
            source=MEDQUAD,
        )


def report(loss: ReaderLoss) -> None:
    """Print every twentieth step."""
    if loss.step % 20 == 0:
        left = (loss.steps - loss.step) * loss.seconds / 60
        print(
            f"step {loss.step}/{loss.steps}  span {loss.span:.3f}  relevance {loss.relevance:.3f}  "
            f"{left:.0f} min left",
            flush=True,
        )


def beside(
    records: Sequence[Record], pool: Sequence[Record], how: Excerpting, random: Random
) -> Iterator[Record]:
    """Yield the records over excerpts of their passages, among near misses from `pool`."""
    found = PassagePool(pool)
    for record in records:
        if made := in_excerpts(record, found, how, random):
            yield made


def _alone(records: Iterable[Record]) -> Iterator[Record]:
    yield from records


def _some(records: Iterable[Record], count: int, random: Random) -> list[Record]:
    every = list(records)
    return random.sample(every, min(count, len(every)))


def _train(records: Iterable[Record]) -> list[Record]:
    return [
        each
        for each in records
        if each.split == "train"
        and sum(len(p.text.split()) for p in each.messages[-1].parts[1].passages) <= _MOST_WORDS
    ]


def title_of(record: Record) -> str:
    """Return the title of the first passage that was found."""
    return record.messages[-1].parts[1].passages[0].title


def find_file(sources: Path, pattern: str) -> Path:
    """Return the first file of that name, wherever in the folder it lies."""
    return next(path for path in sorted(sources.rglob(pattern)) if path.is_file())


def examples_of_pairs(records: Iterable[Record], tokenizer: PairTokenizer) -> list[ReaderExample]:
    """Return what the reader learns from; pairs that are too long are left out."""
    return [
        example for example in reader_examples(records, tokenizer) if len(example.pair.ids) <= _MOST_TOKENS
    ]


def main() -> None:
    """Train, save, and say how good it is on articles that it has not seen."""
    sources, out = Path(sys.argv[1]), Path(sys.argv[2])
    base = find_model(BASE)
    tokenizer = PairTokenizer(base)
    records, _ = make(sources, Random(0))  # noqa: S311 - a draw of data, no secret
    examples = examples_of_pairs(records, tokenizer)
    part, _, parts = (sys.argv[3] if len(sys.argv) > 3 else "1/1").partition("/")  # noqa: PLR2004 - the third
    examples = examples[int(part) - 1 :: int(parts)]
    tokens = sum(len(example.pair.ids) for example in examples)
    print(
        Counter((e.answered, bool(e.answers)) for e in examples),
        f"{len(examples)} pairs, {tokens} tokens",
        flush=True,
    )
    start = out if (out / CONFIG_FILE).is_file() else None
    plan = ReaderPlan(learning_rate=7e-5 if start else 1e-4, seed=int(part))
    model = train_reader(base, examples, plan, start=start, report=report)
    save_reader(model, out, base_sha256=hash_weights(base))
    load_reader(out)


if __name__ == "__main__":
    main()
