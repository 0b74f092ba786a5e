"""`rag-train eval`: from a folder of sets and a model to the answerer's table, with plots beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from corpus.embedding import Embedder
from corpus.errors import InvalidRequest
from corpus.settings import Settings
from posttrain.calibration import Judged, Search, brier_score, judge_evidence
from posttrain.data.files import read_records
from posttrain.evaluate import SETS, Progress, evaluate
from posttrain.evaluation_report import (
    evaluation_json,
    evaluation_markdown,
    read_evaluation,
    with_measures,
)
from posttrain.perplexity import chat_perplexity
from posttrain.plots import draw_calibration, draw_comparison
from posttrain.sampling import load_sampler
from rag_service.answering.conversation import Record
from rag_service.answering.local_model import load_chat_model
from rag_service.evaluation.measures import Estimate
from rag_service.retrieval.readers import configured_readers

_CHAT = "chat"
Sets = Mapping[str, Sequence[Record]]


@dataclass(frozen=True, slots=True)
class EvaluationRun:
    """What `rag-train eval` was asked for."""

    folder: Path
    model: str
    out: Path
    adapter: str = ""
    against: Path | None = None
    limit: int | None = None


def run_evaluation(
    run: EvaluationRun, settings: Settings, embedder: Embedder, search: Search | None, progress: Progress
) -> str:
    """Measure, write evaluation.json, evaluation.md and, if they can be drawn, plots; return the table.

    With `search` the questions of reading.jsonl are also asked over what it finds.

    Raises:
        InvalidRequest: the folder has no set.
    """
    files = _files(run.folder)
    before = read_evaluation(run.against, files) if run.against else None
    sets = {path.stem: list(read_records(path))[: run.limit] for path in files}
    evaluation = evaluate(
        load_chat_model(run.model, models_dir=settings.models_dir, adapter=run.adapter),
        sets,
        search=search,
        embedder=embedder,
        readers=configured_readers(settings.reader),
        progress=progress,
    )
    judged = list(judge_evidence(sets.get("reading", ()), embedder, search))
    evaluation = with_measures(evaluation, _more_measures(run, settings, sets, judged))
    compared = [before, evaluation] if before else [evaluation]
    run.out.mkdir(parents=True, exist_ok=True)
    (run.out / "evaluation.json").write_text(evaluation_json(evaluation, files), encoding="utf-8")
    table = evaluation_markdown(compared)
    (run.out / "evaluation.md").write_text(table, encoding="utf-8")
    drawn = draw_comparison(compared, run.out / "evaluation.png")
    draw_calibration(judged, run.out / "evidence.png")
    return f"{table}\nin {run.out}" + ("" if drawn else " (install matplotlib for plots)")


def _files(folder: Path) -> list[Path]:
    names = (*SETS, _CHAT)
    files = [path for name in names if (path := folder / f"{name}.jsonl").is_file()]
    if not files:
        raise InvalidRequest(f"{folder} has none of {', '.join(names)} with .jsonl after it.")
    return files


def _more_measures(
    run: EvaluationRun, settings: Settings, sets: Sets, judged: Sequence[Judged]
) -> dict[str, Estimate]:
    more: dict[str, Estimate] = {}
    if judged:
        more["evidence: Brier score"] = brier_score(judged)
    if chats := sets.get(_CHAT):
        found = load_sampler(run.model, models_dir=settings.models_dir, adapter=run.adapter)
        more["chat perplexity"] = chat_perplexity(found.model, found.template, chats)
    return more
