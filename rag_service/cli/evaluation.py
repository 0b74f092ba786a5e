"""`rag eval`: how good retrieval and answers are, on questions whose right answers are known."""

from pathlib import Path
from typing import Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson

evaluation = typer.Typer(
    no_args_is_help=True, help="Measure retrieval and answers on sets with known answers."
)


@evaluation.command()
def retrieval(
    *,
    folder: Annotated[
        Path,
        typer.Option(
            "--set", exists=True, file_okay=False, help="Folder: corpus.jsonl, queries.jsonl, qrels/."
        ),
    ],
    split: Annotated[str, typer.Option(help="Which of the files in qrels/.")] = "test",
    as_json: AsJson = False,
) -> None:
    """Search a set in BEIR's layout by meaning, by words and by both, and score the rankings.

    The set gets a database of its own in the data folder, so that a second run embeds nothing.
    """
    from corpus.embedding import load_embedder
    from corpus.settings import Settings
    from rag_service.evaluation.retrieval import evaluate_folder, retrieval_json, retrieval_report

    settings = Settings.load()
    found = evaluate_folder(
        folder, load_embedder(settings.embedder), settings.data_dir / "evaluation", split=split
    )
    if as_json:
        terminal.print_json(retrieval_json(*found))
    else:
        typer.echo(retrieval_report(*found))
