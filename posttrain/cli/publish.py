"""`rag-train publish`: an adapter into models/, with its card, known to the database."""

from pathlib import Path
from typing import Annotated

import typer

from posttrain.data.files import read_records


def publish(
    adapter: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What `sft` wrote.")],
    name: Annotated[str, typer.Option(help="The model's name; its folder gets it too.")],
    model: Annotated[str, typer.Option(help="Base model: package, GGUF file or folder.")],
    evaluation: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="evaluation.json of this adapter.")
    ],
    data: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The records trained on.")],
    recipe: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="Goes into the card.")],
    before: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="evaluation.json before training.")
    ] = None,
    models: Annotated[Path, typer.Option(help="Folder of published models.")] = Path("models"),
    *,
    force: Annotated[bool, typer.Option("--force", help="Also if it is worse than the active one.")] = False,
) -> None:
    """Write adapter and model card and register them; refused if worse than the active model."""
    from corpus.settings import Settings
    from posttrain.evaluation_report import read_evaluation
    from posttrain.publish import Origin
    from posttrain.publish import publish as run
    from rag_service.answering.model_files import find_model
    from rag_service.cli.workplace import open_database

    settings = Settings.load()
    origin = Origin(
        records=tuple(read_records(data)),
        recipe=recipe.read_text(encoding="utf-8"),
        before=read_evaluation(before) if before else None,
    )
    base = find_model(model, models_dir=settings.models_dir)
    with open_database(settings) as database, database.write() as session:
        published = run(
            session, adapter, base, read_evaluation(evaluation), origin, folder=models / name, force=force
        )
        typer.echo(f"{published.name} is in {models / name}, registered and not active yet")
