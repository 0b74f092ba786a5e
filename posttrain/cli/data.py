"""`rag-train data`: importing, showing and counting conversations."""

from collections.abc import Callable, Iterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from posttrain.cli.options import InFiles, License, OutFile, Source
from posttrain.data import arithmetic, chats, hub, identity, reading
from posttrain.data.files import read_csv, read_json, read_json_lines, read_records, write_records
from posttrain.data.statistics import Shingles, describe, texts_of
from rag_service.answering.conversation import Record
from rag_service.cli import terminal

if TYPE_CHECKING:
    from rag_service.answering.template import Template

_SHOWN = 20  # of many faults, so many are named

data = typer.Typer(no_args_is_help=True, help="Make, show and count conversations.")


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
    FEEDBACK = "feedback"


@data.command("import")
def import_(
    layout: Annotated[Format, typer.Argument(help="The file's layout.")],
    file: Annotated[
        str, typer.Argument(help="A file, plain, .xz or .gz; or hub:OWNER/NAME[/FILE], a dataset of the hub.")
    ],
    out: OutFile,
    source: Source = "local file",
    license_: License = "unknown",
) -> None:
    """Turn a public data file into records.

    `identity` reads a TOML with name, maker and nature; `feedback` what `GET /v1/admin/feedback` exports.
    """
    count = write_records(out, _imported(layout, _found(file), reading.Source(source, license_)))
    typer.echo(f"{count} records in {out}")


def _found(file: str) -> Path:
    if file.startswith(hub.PREFIX):
        return hub.hub_file(file)
    if not Path(file).is_file():
        raise typer.BadParameter(f"There is no file {file}.")
    return Path(file)


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
        Format.FEEDBACK: lambda: chats.import_feedback(read_records(path), source),
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
    for record in leaks[:_SHOWN]:
        terminal.warn(f"{record.id} shares 13 words in a row with an evaluation text")
    if leaks:
        terminal.warn(f"Error: {len(leaks)} records leak; take them out before training.")
        raise typer.Exit(terminal.FAILED)


@data.command(hidden=True)  # its place is beside `data`; here it was before
def inspect(
    path: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="A file of records.")],
    model: Annotated[str, typer.Option(help="Base model: package, GGUF file or folder.")],
    number: Annotated[int, typer.Option(min=1, help="How many records.")] = 3,
    page: Annotated[Path | None, typer.Option("--html", help="Write a page instead.")] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="With --check: the adapter that is served."),
    ] = None,
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Show none; hold all records against what is served.")
    ] = False,
) -> None:
    """Show records as the model sees them: tokens, whose they are, and which the loss counts.

    With --check every record is rendered as it is trained and as the service serves it; other ids, or a
    loss that counts what the model does not write, are an error.
    """
    from rich.console import Console

    from corpus.settings import Settings
    from posttrain.examples import example_of
    from posttrain.inspection import as_html, coloured, counts
    from posttrain.same_ids import trained_template
    from rag_service.answering.model_files import find_model

    base = find_model(model, models_dir=Settings.load().models_dir).folder
    template = trained_template(base)
    if check:
        _check_ids(path, template, base, adapter)
        return
    shown = list(islice(read_records(path), number))
    if page:
        rendered = [(record.id, template.render(record.messages)) for record in shown]
        page.write_text(as_html(rendered, template.vocabulary), encoding="utf-8")
        return
    for record in shown:
        typer.echo(f"{record.id} ({record.task}, {record.split}): {counts(example_of(record, template))}")
        Console().print(coloured(template.render(record.messages), template.vocabulary))


def _check_ids(path: Path, trained: "Template", base: Path, adapter: Path | None) -> None:
    from posttrain.same_ids import differences, served_template

    records = list(read_records(path))
    found = list(differences(records, trained, served_template(base, adapter)))
    for each in found[:_SHOWN]:
        terminal.warn(f"{each.record}: {each.reason}")
    if found:
        terminal.warn(f"Error: {len(found)} of {len(records)} records are served otherwise than trained.")
        raise typer.Exit(terminal.FAILED)
    typer.echo(f"{len(records)} records: trained and served with the same ids, the loss on the model's own")
