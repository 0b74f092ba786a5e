"""`rag-train data`, the part that makes new records: from others, and from the user's own documents."""

from collections import Counter
from collections.abc import Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

import typer

from posttrain.cli.data import data
from posttrain.cli.options import InFiles, License, OutFile
from posttrain.cli.retriever import opened_collection
from posttrain.data.files import read_records, write_records

if TYPE_CHECKING:
    from rag_service.answering.conversation import Record

DevPercent = Annotated[
    int, typer.Option(min=0, max=100, help="Share of the documents that are held back from training.")
]
Seed = Annotated[int, typer.Option(help="Another seed draws other ones.")]


@data.command()
def distract(
    paths: InFiles,
    out: OutFile,
    fewest: Annotated[int, typer.Option(min=1, help="Passages of a record, at least.")] = 5,
    most: Annotated[int, typer.Option(min=1, help="Passages of a record, at most.")] = 5,
    without_gold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of answers that lose their gold passage.")
    ] = 0.0,
    seed: Seed = 0,
    *,
    dense: Annotated[
        bool, typer.Option("--dense", help="Find near misses by the embedder too, not by BM25 alone.")
    ] = False,
    within_split: Annotated[
        bool, typer.Option("--within-split", help="Only near misses of the record's own split.")
    ] = False,
    collection: Annotated[
        str | None,
        typer.Option(
            help="Take what the service's search finds in this collection, not the input's passages."
        ),
    ] = None,
    dev_percent: DevPercent = 5,
) -> None:
    """Put passages that look right beside the gold one, or in its place: then the reply is a refusal."""
    from corpus.embedding import load_embedder
    from corpus.settings import Settings
    from posttrain.data.distractors import (
        Distraction,
        PassagePool,
        RetrievedPool,
        distracted,
        pools_by_split,
    )
    from posttrain.data.reading import split_of

    records = list(_read(paths))
    how = Distraction(fewest, max(fewest, most), without_gold, seed)
    if collection is not None:
        splits = partial(split_of, dev_percent=dev_percent) if within_split else None
        with opened_collection(collection) as (search, _):
            _write(out, distracted(records, RetrievedPool(search, splits), how))
        return
    embedder = load_embedder(Settings.load().embedder) if dense else None
    pool = pools_by_split(records, embedder) if within_split else PassagePool(records, embedder)
    _write(out, distracted(records, pool, how))


@data.command()
def take(
    paths: InFiles,
    out: OutFile,
    count: Annotated[int, typer.Option(min=1, help="So many records, at most.")],
    split: Annotated[str | None, typer.Option(help="Only records of this split: train, dev or test.")] = None,
    task: Annotated[list[str] | None, typer.Option(help="Only records of these tasks.")] = None,
    seed: Seed = 0,
) -> None:
    """Draw records at random, for an evaluation set or a small run; the same seed draws the same ones."""
    fitting = sorted(
        (
            record
            for record in _read(paths)
            if split in {None, record.split} and (not task or record.task in task)
        ),
        key=lambda record: record.id,
    )
    Random(seed).shuffle(fitting)  # noqa: S311 - an order of data, no secret
    _write(out, fitting[:count])


@data.command("change-facts")
def change_facts(paths: InFiles, out: OutFile, seed: Seed = 0) -> None:
    """Change the number or name that answers, in passage and reply; the model must follow the passage."""
    from posttrain.data.swaps import changed_facts

    _write(out, changed_facts(_read(paths), seed=seed))


@data.command("change-subjects")
def change_subjects(paths: InFiles, out: OutFile, seed: Seed = 0) -> None:
    """Ask about somebody of whom the passage does not speak; the reply is a refusal."""
    from posttrain.data.swaps import about_others

    _write(out, about_others(_read(paths), seed=seed))


@data.command()
def reason(paths: InFiles, out: OutFile) -> None:
    """Turn the steps of worked sums into reasoning, which readers do not see."""
    from posttrain.data.arithmetic import reasoned

    _write(out, (reasoned(record) for record in _read(paths) if record.task == "calculate"))


@data.command("turn-around")
def turn_around(paths: InFiles, out: OutFile) -> None:
    """Turn records with a passage into the task of writing the question and its answer."""
    from posttrain.data.writing import writing_records

    _write(out, writing_records(_read(paths)))


@data.command("write-questions")
def write_questions(
    out: OutFile,
    collection: Annotated[str, typer.Option(help="Whose passages the questions are about.")] = "default",
    each: Annotated[int, typer.Option(min=1, help="Questions a passage.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many passages.")] = None,
    license_: License = "the collection's own",
    dev_percent: DevPercent = 5,
    seed: Seed = 0,
) -> None:
    """Let the service's chat model write questions about a collection; keep those that come back.

    The model is that of the settings: RAG_CHAT_MODEL with RAG_ADAPTER, or a server.
    """
    from corpus.settings import Settings
    from posttrain.cli.probe import progress_line
    from posttrain.data import questions
    from posttrain.data.collection import collection_passages
    from posttrain.data.reading import Source
    from rag_service.app import models_of
    from rag_service.cli.workplace import open_database

    settings = Settings.load()
    with open_database(settings) as database, database.read() as session:
        passages = collection_passages(session, collection, limit=limit, seed=seed)
    fates: Counter[questions.Fate] = Counter()
    show = progress_line("written", "questions")

    def count(fate: questions.Fate) -> None:
        fates[fate] += 1
        show(fates.total(), len(passages) * each)

    model = models_of(settings).load_chat_model()
    source = Source(f"collection {collection}, questions by {model.name}", license_)
    written = questions.write_questions(
        passages, model, source, each=each, seed=seed, dev_percent=dev_percent, report=count
    )
    write_records(out, written)
    typer.echo(f"\n{questions.tally(fates)}; records in {out}")


def _read(paths: Iterable[Path]) -> "Iterable[Record]":
    return chain.from_iterable(read_records(path) for path in paths)


def _write(out: Path, records: "Iterable[Record]") -> None:
    typer.echo(f"{write_records(out, records)} records in {out}")
