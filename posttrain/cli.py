"""The command line, `rag-train`: data, mix and sft.

Exit codes are those of `rag`: 0 done, 1 failed, 2 wrong usage.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from posttrain.data import arithmetic, chats, identity, reading
from posttrain.data.files import read_csv, read_json, read_json_lines, read_records, write_records
from posttrain.data.statistics import Shingles, describe, texts_of
from posttrain.mix import mix as mix_records
from posttrain.mix import read_recipe
from rag_service.answering.conversation import Record
from rag_service.cli import take_debug, terminal

app = typer.Typer(name="rag-train", no_args_is_help=True, pretty_exceptions_enable=False)
data = typer.Typer(no_args_is_help=True, help="Make, show and count conversations.")
app.add_typer(data, name="data")

InFiles = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Files of records.")]
OutFile = Annotated[Path, typer.Option("--out", help="Where to write the records, JSON lines.")]
Source = Annotated[str, typer.Option(help="Name of the source, for formats that do not imply it.")]
License = Annotated[str, typer.Option(help="Its licence; both travel into the model card.")]


class Format(StrEnum):
    """The layouts that are read."""

    SQUAD = "squad"
    BOOLQ = "boolq"
    QUAC = "quac"
    GSM8K = "gsm8k"
    MAWPS = "mawps"
    OASST1 = "oasst1"
    MESSAGES = "messages"
    INSTRUCTIONS = "instructions"
    IDENTITY = "identity"


@data.command("import")
def import_(
    layout: Annotated[Format, typer.Argument(help="The file's layout.")],
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Plain, .xz or .gz.")],
    out: OutFile,
    source: Source = "local file",
    license_: License = "unknown",
) -> None:
    """Turn a public data file into records. `identity` reads a TOML with name, maker and nature."""
    count = write_records(out, _imported(layout, path, reading.Source(source, license_)))
    typer.echo(f"{count} records in {out}")


def _imported(layout: Format, path: Path, source: reading.Source) -> Iterator[Record]:
    readers: dict[Format, Callable[[], Iterator[Record]]] = {
        Format.SQUAD: lambda: reading.import_squad(read_json(path)),
        Format.BOOLQ: lambda: reading.import_boolq(read_json_lines(path)),
        Format.QUAC: lambda: reading.import_quac(read_json_lines(path)),
        Format.GSM8K: lambda: arithmetic.import_gsm8k(read_json_lines(path)),
        Format.MAWPS: lambda: arithmetic.import_mawps(read_csv(path)),
        Format.OASST1: lambda: chats.import_oasst1(read_json_lines(path)),
        Format.MESSAGES: lambda: chats.import_messages(read_json_lines(path), source),
        Format.INSTRUCTIONS: lambda: chats.import_instructions(read_json_lines(path)),
        Format.IDENTITY: lambda: identity.identity_records(identity.read_identity(path)),
    }
    return readers[layout]()


@data.command()
def stats(
    paths: InFiles,
    against: Annotated[
        list[Path] | None,
        typer.Option(exists=True, dir_okay=False, help="Evaluation records that must not appear."),
    ] = None,
) -> None:
    """Count records, lengths, refusals and duplicates; a leak of evaluation texts is an error."""
    records = [record for path in paths for record in read_records(path)]
    found = describe(records)
    terminal.print_json(
        {
            "records": found.records,
            "by_task": found.by_task,
            "by_split": found.by_split,
            "by_source": found.by_source,
            "median_words": found.median_words,
            "longest_words": found.longest_words,
            "refusal_share": round(found.refusal_share, 4),
            "duplicates": found.duplicates,
        }
    )
    evaluated = (text for path in against or [] for record in read_records(path) for text in texts_of(record))
    leaks = list(Shingles(evaluated).leaks(records))
    for record in leaks[:20]:
        terminal.warn(f"{record.id} shares 13 words in a row with an evaluation text")
    if leaks:
        terminal.warn(f"Error: {len(leaks)} records leak; take them out before training.")
        raise typer.Exit(terminal.FAILED)


@data.command()
def inspect(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file of records.")],
    model: Annotated[Path, typer.Option(exists=True, file_okay=False, help="The base model's folder.")],
    number: Annotated[int, typer.Option(min=1, help="How many records.")] = 3,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page instead.")] = None,
) -> None:
    """Show records as the model sees them: tokens, whose they are, and which the loss counts."""
    from rich.console import Console

    from posttrain.examples import example_of
    from posttrain.inspection import as_html, coloured, counts
    from rag_service.answering.template import AnswererTemplate, answerer_vocabulary
    from rag_service.answering.vocabulary import Vocabulary

    template = AnswererTemplate(answerer_vocabulary(Vocabulary.from_file(model / "tokenizer.json")))
    shown = list(islice(read_records(path), number))
    if page:
        rendered = [(record.id, template.render(record.messages)) for record in shown]
        page.write_text(as_html(rendered, template.vocabulary), encoding="utf-8")
        return
    for record in shown:
        typer.echo(f"{record.id} ({record.task}, {record.split}): {counts(example_of(record, template))}")
        Console().print(coloured(template.render(record.messages), template.vocabulary))


@app.command()
def mix(
    paths: InFiles,
    recipe: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The recipe, TOML.")],
    out: Annotated[Path, typer.Option(help="Folder for train.jsonl and dev.jsonl.")],
) -> None:
    """Draw each task's share of the records; the same input gives the same mix."""
    drawn = mix_records((record for path in paths for record in read_records(path)), read_recipe(recipe))
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
    seed: Annotated[int, typer.Option()] = 0,
) -> None:
    """Fine-tune an adapter; run again, it goes on from its last checkpoint."""
    from posttrain.run_sft import Run, run_sft
    from posttrain.sft import Plan
    from posttrain.trainee import Lora

    plan = Plan(
        epochs=epochs,
        learning_rate=learning_rate,
        max_length=max_length,
        rows_per_step=rows_per_step,
        seed=seed,
    )
    run_sft(Run(folder, model, out, plan, Lora(rank=rank, alpha=2 * rank, first_layer=first_layer)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the program with its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = take_debug(words)
    try:
        app(args=words, prog_name="rag-train")
    except Exception as error:
        if debug:
            raise
        sys.exit(terminal.report(error))
