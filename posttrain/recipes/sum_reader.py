"""The sum reader: from published word problems and sums over passages to `models/minilm-sums`.

    python posttrain/recipes/sum_reader.py SOURCES OUT [EPOCHS]

SOURCES holds MAWPS and GSM8K as their makers publish them. Besides their problems, of which GSM8K's have at
most three steps, it learns from this project's word problems and sums over passages, and from problems among
the texts of others: to leave out what does not belong to the question. Problems that are held back for
development, with whatever numbers, are left out.
"""

# ruff: noqa: INP001 - a script, run by its path
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from random import Random

from corpus.embedding import find_model, hash_weights
from posttrain.data import arithmetic
from posttrain.data.files import read_csv, read_json_lines
from posttrain.data.sum_problems import SolvedProblem, beside, solved
from posttrain.data.sums_over_passages import sums_over_passages
from posttrain.data.word_problems import word_problems
from posttrain.recipes.short_run import find_file
from posttrain.sum_reader import (
    SumExample,
    SumPlan,
    SumReaderInTraining,
    can_learn,
    save_sum_reader,
    train_sum_reader,
)
from rag_service.answering.conversation import Record
from rag_service.retrieval.quantities import ProblemTokenizer, is_readable
from rag_service.retrieval.reader import BASE
from rag_service.retrieval.readers import SHIPPED_READER
from rag_service.retrieval.sum_reader import load_sum_reader

EPOCHS = 7
# How many problems of a kind an epoch has; those beside others are drawn anew.
AMOUNTS = {"mawps": 1500, "gsm8k": 1500, "words": 250, "over": 1100}
BESIDE = {"mawps": 700, "gsm8k": 250, "words": 120}
_MOST_STEPS = 3
_MOST_NUMBERS = 16
_OTHERS = (1, 1, 2)  # texts beside a problem's own
_SEED = 0
_SAVED_EACH = 200  # steps


def problems(sources: Path) -> dict[str, list[Record]]:
    """Read all records, by kind."""
    rows = list(read_csv(find_file(sources, "mawps*.csv*")))
    gsm8k = read_json_lines(find_file(sources, "gsm8k*.jsonl*"))
    return {
        "mawps": list(arithmetic.import_mawps(rows)),
        "gsm8k": list(arithmetic.import_gsm8k(gsm8k)),
        "words": list(word_problems(3000, seed=_SEED)),
        "over": list(sums_over_passages(6000, seed=_SEED)),
    }


def to_learn_from(records: Iterable[Record]) -> list[SolvedProblem]:
    """Return the training part, but for what is held back with other numbers."""
    every = [(record, solved(record)) for record in records]
    held = {_shape(found) for record, found in every if found and record.split != "train"}
    return [
        found
        for record, found in every
        if found and record.split == "train" and can_learn(found, _MOST_STEPS) and _shape(found) not in held
    ]


def epoch(
    found: dict[str, list[SolvedProblem]], tokenizer: ProblemTokenizer, random: Random
) -> Iterator[SumExample]:
    """Yield the examples of one epoch."""
    texts = [each.problem.text for kind in ("mawps", "gsm8k") for each in found[kind] if each.problem.text]
    drawn = [each for kind, count in AMOUNTS.items() for each in _some(found[kind], count, random)]
    for kind, count in BESIDE.items():
        among = (
            beside(each, random.sample(texts, random.choice(_OTHERS)), random)
            for each in _some(found[kind], count, random)
        )
        drawn += [each for each in among if each]
    for each in drawn:
        row = tokenizer.row(each.problem)
        if is_readable(each.problem, row) and len(row.places) <= _MOST_NUMBERS:
            yield SumExample(row, each.steps)


def _some(found: Sequence[SolvedProblem], count: int, random: Random) -> list[SolvedProblem]:
    return random.sample(list(found), min(count, len(found)))


def _shape(found: SolvedProblem) -> str:
    """Return the problem without its numbers."""
    text, end, parts = found.problem.whole, 0, []
    for each in found.problem.quantities:
        parts.append(text[end : each.start])
        end = each.end
    return "#".join([*parts, text[end:]])


def main() -> None:
    """Train, save and load it."""
    sources, out = Path(sys.argv[1]), Path(sys.argv[2])
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else EPOCHS  # noqa: PLR2004 - the third
    embedder, random = find_model(BASE), Random(_SEED)  # noqa: S311 - a draw of data, no secret
    tokenizer = ProblemTokenizer(embedder)
    found = {kind: to_learn_from(records) for kind, records in problems(sources).items()}
    examples = [list(epoch(found, tokenizer, random)) for _ in range(epochs)]
    tokens = sum(example.length for each in examples for example in each)
    print(Counter({kind: len(each) for kind, each in found.items()}), f"{tokens} tokens", flush=True)  # noqa: T201
    plan, began, mean = SumPlan(seed=_SEED), time.monotonic(), 0.0
    model = SumReaderInTraining(embedder, start=SHIPPED_READER, dropout=plan.dropout, seed=plan.seed)

    def report(step: int, steps: int, loss: float, _seconds: float) -> None:
        nonlocal mean
        mean = loss if step == 1 else 0.98 * mean + 0.02 * loss
        if step % 50 == 0 or step == steps:
            print(f"{step}/{steps} loss {mean:.3f} {time.monotonic() - began:.0f} s", flush=True)  # noqa: T201
        if step % _SAVED_EACH == 0:  # to be looked at
            save_sum_reader(model, out, base_sha256=hash_weights(embedder))

    train_sum_reader(model, examples, plan, report)
    save_sum_reader(model, out, base_sha256=hash_weights(embedder))
    load_sum_reader(out)


if __name__ == "__main__":
    main()
