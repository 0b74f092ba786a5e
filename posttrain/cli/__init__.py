"""The command line, `rag-train`: from public data and own documents to a published adapter.

Exit codes are those of `rag`: 0 done, 1 failed, 2 wrong usage.
"""

import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from posttrain.cli import synthetic as _synthetic  # noqa: F401 - its commands join `data`
from posttrain.cli.data import data, inspect
from posttrain.cli.evaluate import evaluate
from posttrain.cli.options import InFiles
from posttrain.cli.probe import probe
from posttrain.cli.publish import publish
from posttrain.data.files import read_records, write_records
from posttrain.data.statistics import Shingles, texts_of
from posttrain.mix import mix as mix_records
from posttrain.mix import read_recipe
from rag_service.cli import let_threads_sleep, take_debug, terminal

app = typer.Typer(name="rag-train", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(data, name="data")
app.command()(inspect)
app.command()(probe)
app.command("eval")(evaluate)
app.command()(publish)


@app.command()
def mix(
    paths: InFiles,
    recipe: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The recipe, TOML.")],
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl and dev.jsonl.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Evaluation records: what shares 13 words with them is left out."),
    ] = None,
) -> None:
    """Draw each task's share of the records; the same input gives the same mix."""
    records = [record for path in paths for record in read_records(path)]
    held = Shingles(
        text for path in against or () for record in read_records(path) for text in texts_of(record)
    )
    leaks = list(held.leaks(each for each in records if each.split == "train"))
    for task, count in Counter(record.task for record in leaks).most_common():
        typer.echo(f"{task}: {count} records left out, which share 13 words with an evaluation text")
    left_out = {record.id for record in leaks}
    drawn = mix_records((record for record in records if record.id not in left_out), read_recipe(recipe))
    write_records(out / "train.jsonl", drawn.train)
    write_records(out / "dev.jsonl", drawn.dev)
    typer.echo(f"{len(drawn.train)} records to train on, {len(drawn.dev)} for development, in {out}")
    for task, lacking in drawn.short.items():
        terminal.warn(f"{task}: {lacking} records fewer than the recipe wants; all there are were taken")


@app.command()
def sft(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="What `mix` wrote.")],
    model: Annotated[str, typer.Option(help="Base model: package, GGUF file or folder.")],
    out: Annotated[Path, typer.Option(help="Folder of the adapter and the checkpoint.")],
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    learning_rate: Annotated[float, typer.Option(min=0.0)] = 2e-4,
    rank: Annotated[int, typer.Option(min=1)] = 16,
    first_layer: Annotated[
        int, typer.Option(min=0, help="First layer that learns; those below are computed once.")
    ] = 0,
    max_length: Annotated[int, typer.Option(min=64, help="Tokens of a row.")] = 1024,
    rows_per_step: Annotated[int, typer.Option(min=1)] = 8,
    checkpoint_minutes: Annotated[
        float, typer.Option(min=0.0, help="Time between checkpoints: what a kill costs at most.")
    ] = 5.0,
    seed: Annotated[int, typer.Option()] = 0,
    start: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Go on from an adapter of the same rank and layers."),
    ] = None,
    *,
    full: Annotated[
        bool, typer.Option("--full", help="Train the weights themselves; the result is a whole model.")
    ] = False,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="A third more work for much less memory.")
    ] = False,
) -> None:
    """Fine-tune an adapter, or with --full all weights; run again, it goes on from its last checkpoint."""
    from posttrain.run_sft import Run, run_sft
    from posttrain.sft import Plan
    from posttrain.trainee import Full, Lora

    plan = Plan(
        epochs=epochs,
        learning_rate=learning_rate,
        max_length=max_length,
        rows_per_step=rows_per_step,
        seed=seed,
        checkpoint_minutes=checkpoint_minutes,
    )
    if full and start:
        raise typer.BadParameter(
            "An adapter is nothing to start --full from; merge it first, or leave one out."
        )
    how = Full(first_layer) if full else Lora(rank=rank, alpha=2 * rank, first_layer=first_layer)
    run_sft(Run(folder, model, out, plan, how, recompute=gradient_checkpointing, start=start))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the program with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    let_threads_sleep()
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # our own lines say how far work is
    debug = take_debug(words)
    try:
        app(args=words, prog_name="rag-train")
    except Exception as error:
        if debug:
            raise
        sys.exit(terminal.report(error))
