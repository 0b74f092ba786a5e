"""`rag-train eval`: the answerer's table."""

from pathlib import Path
from typing import Annotated

import typer


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
    from posttrain.run_evaluation import EvaluationRun, run_evaluation

    run_evaluation(EvaluationRun(folder, model, out, adapter, against, limit, collection))
