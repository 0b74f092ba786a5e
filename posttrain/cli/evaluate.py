"""`rag-train eval`: the answerer's table."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posttrain.cli.retriever import opened_collection

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
    from posttrain.cli.probe import progress_line
    from posttrain.run_evaluation import EvaluationRun, run_evaluation

    run = EvaluationRun(folder, model, out, adapter, against, limit)
    with _opened(collection) as (search, embedder):
        told = run_evaluation(run, Settings.load(), embedder, search, progress_line("asked", "records"))
    typer.echo(f"\n{told}")


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
