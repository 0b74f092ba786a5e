"""`rag-train eval`: the answerer's table."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from corpus.errors import InvalidRequest
from posttrain.cli.retriever import opened_collection
from posttrain.data.files import read_records

if TYPE_CHECKING:
    from corpus.embedding import Embedder
    from posttrain.calibration import Search

_PASSAGES = 5  # as many as the records of a reading set have


def evaluate(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Folder of evaluation sets.")],
    model: Annotated[str, typer.Option(help="Base model: package, GGUF file or folder.")],
    out: Annotated[Path, typer.Option(help="Folder of evaluation.json, evaluation.md and, if drawn, plots.")],
    adapter: Annotated[str, typer.Option(help="Folder of the adapter; empty: the base model alone.")] = "",
    against: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="evaluation.json of another model, to be beside."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many records of a set.")] = None,
    collection: Annotated[
        str | None,
        typer.Option(help="Ask reading.jsonl also with what is found in this collection of RAG_DATA_DIR."),
    ] = None,
) -> None:
    """Measure a model on records that it was not trained on, through the service's own prompt and tools."""
    from corpus.settings import Settings
    from posttrain.calibration import brier_score, judge_evidence
    from posttrain.cli.probe import progress_line
    from posttrain.evaluate import SETS
    from posttrain.evaluate import evaluate as run
    from posttrain.evaluation_report import (
        evaluation_json,
        evaluation_markdown,
        read_evaluation,
        with_measures,
    )
    from posttrain.perplexity import chat_perplexity
    from posttrain.plots import draw_calibration, draw_comparison
    from posttrain.sampling import load_sampler
    from rag_service.answering.local_model import load_chat_model
    from rag_service.retrieval.reader import configured_reader

    files = [path for name in (*SETS, "chat") if (path := folder / f"{name}.jsonl").is_file()]
    if not files:
        raise InvalidRequest(f"{folder} has none of {', '.join((*SETS, 'chat'))} with .jsonl after it.")
    before = read_evaluation(against, files) if against else None
    sets = {path.stem: list(read_records(path))[:limit] for path in files}
    models_dir = Settings.load().models_dir
    read = configured_reader(Settings.load().reader)
    with _opened(collection) as (search, embedder):
        evaluation = run(
            load_chat_model(model, models_dir=models_dir, adapter=adapter),
            sets,
            search=search,
            embedder=embedder,
            read=read,
            progress=progress_line("asked", "records"),
        )
        judged = list(judge_evidence(sets.get("reading", ()), embedder, search))
    if judged:
        evaluation = with_measures(evaluation, {"evidence: Brier score": brier_score(judged)})
    if "chat" in sets:
        found = load_sampler(model, models_dir=models_dir, adapter=adapter)
        perplexity = chat_perplexity(found.model, found.template, sets["chat"])
        evaluation = with_measures(evaluation, {"chat perplexity": perplexity})
    compared = [before, evaluation] if before else [evaluation]
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(evaluation_json(evaluation, files), encoding="utf-8")
    table = evaluation_markdown(compared)
    (out / "evaluation.md").write_text(table, encoding="utf-8")
    drawn = draw_comparison(compared, out / "evaluation.png")
    draw_calibration(judged, out / "evidence.png")
    typer.echo(f"\n{table}\nin {out}" + ("" if drawn else " (install matplotlib for plots)"))


@contextmanager
def _opened(collection: str | None) -> "Iterator[tuple[Search | None, Embedder]]":
    """Yield the real retriever over a collection, if one is asked for, and the embedder."""
    from corpus.embedding import load_embedder
    from corpus.settings import Settings

    if collection is None:
        yield None, load_embedder(Settings.load().embedder)
        return
    with opened_collection(collection) as (search, embedder):
        yield lambda question: search(question, _PASSAGES), embedder
