"""`rag generations`, `rag reindex`, `rag compact`: which index serves a collection, and making another."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.jobs import exit_code, has_ended, summary, wait_for_job
from rag_service.cli.options import AsJson, Collection, MaxTokens, Overlap
from rag_service.cli.progress import progress_display
from rag_service.cli.workplace import open_database, open_service

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from corpus.models import Generation
    from indexer.progress import JobProgress
    from indexer.trial import Trial
    from rag_service.service import Service

generations = typer.Typer(no_args_is_help=True, help="List index generations, promote one, go back to one.")
GenerationId = Annotated[str, typer.Argument(metavar="GENERATION", help="Id of the generation.")]


@generations.command("list")
def list_(
    *,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Name or id of a collection; none: all.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List generations, newest first."""
    from corpus.collections import find_collection
    from indexer.generations import list_generations

    with open_database() as database, database.read() as session:
        collection_id = None if collection is None else find_collection(session, collection).id
        found = list_generations(session, collection_id)
        if as_json:
            _print_json(session, found)
            return
        names = {each.collection_id: find_collection(session, each.collection_id).name for each in found}
    rows = (
        (
            each.id,
            names[each.collection_id],
            each.state,
            each.embedder,
            each.chunking,
            each.vector_count,
            terminal.day(each.activated_at),
            each.error,
        )
        for each in found
    )
    headings = (
        "generation",
        "collection",
        "state",
        "embedder",
        "chunking",
        "in base",
        "serves since",
        "error",
    )
    terminal.print_table(headings, rows)


@generations.command()
def promote(generation: GenerationId) -> None:
    """Let a generation that is ready, or a former one, serve its collection from now on."""
    from indexer.reindexing import activate_generation

    with open_database() as database:
        activate_generation(database, generation)
    typer.echo(f"{generation} serves now.")


@generations.command()
def rollback(*, collection: Collection = "default") -> None:
    """Let the generation that served before the last reindex serve again."""
    from corpus.collections import find_collection
    from corpus.errors import GenerationNotFound
    from indexer.generations import former_generation
    from indexer.reindexing import activate_generation

    with open_database() as database:
        with database.read() as session:
            former = former_generation(session, find_collection(session, collection).id)
        if former is None:
            raise GenerationNotFound(f"Collection {collection!r} has no former generation that is kept.")
        activate_generation(database, former.id)
    typer.echo(f"{former.id} serves again.")


def reindex(
    *,
    collection: Collection = "default",
    embedder: Annotated[
        str | None,
        typer.Option(help="Package, folder or server of another embedder.", show_default="RAG_EMBEDDER"),
    ] = None,
    max_tokens: MaxTokens = None,
    overlap: Overlap = None,
    index: Annotated[str, typer.Option(help="How vectors are searched: auto, flat or ivf.")] = "auto",
    manual: Annotated[
        bool, typer.Option("--manual", help="Stop when it is ready; `rag generations promote` switches.")
    ] = False,
    evaluation: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Questions as for `rag eval answers`; see the next."),
    ] = None,
    least_recall: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of their gold documents that it must find; else it fails."),
    ] = 0.9,
    as_json: AsJson = False,
) -> None:
    """Build a new index from the stored texts, with another embedder or chunking, and switch to it.

    Searches go on over the present index meanwhile; it is kept for `rag generations rollback`.
    """
    from corpus.collections import find_collection
    from indexer.rebuilds import generation_of, note_source, request_reindex

    trial = _read_trial(evaluation, least_recall) if evaluation else None
    with open_service() as service:
        present = service.embedder.make()
        wanted = service.embedders.make().load(embedder) if embedder else present
        with service.database.write() as session:
            note_source(session, present.id, service.embedder_source)
            collection_id = find_collection(session, collection).id
            requested = request_reindex(
                session,
                collection_id,
                embedder=wanted,
                source=embedder or service.embedder_source,
                max_tokens=max_tokens,
                overlap=overlap,
                index_type=index,
                manual=manual,
                trial=trial,
            )
        job = _work_off(service, requested.id, as_json=as_json)
    if job.stage == "ready" and not as_json:
        typer.echo(f"`rag generations promote {generation_of(requested)}` switches to it.")
    raise typer.Exit(exit_code(job))


def _read_trial(file: Path, least_recall: float) -> "Trial":
    from indexer.trial import Trial, TrialQuestion
    from rag_service.evaluation.questions import read_questions

    questions = (
        TrialQuestion(each.text, tuple(evidence.document for evidence in each.evidence))
        for each in read_questions(file)
        if each.evidence
    )
    return Trial(tuple(questions), least_recall)


def compact(*, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Fold later changes and deletions into a new base, so that processes start faster."""
    from corpus.collections import find_collection
    from indexer.rebuilds import request_compaction

    with open_service() as service:
        service.embedder.make()
        with service.database.write() as session:
            job_id = request_compaction(session, find_collection(session, collection).id).id
        job = _work_off(service, job_id, as_json=as_json)
    raise typer.Exit(exit_code(job))


def _work_off(service: "Service", job_id: str, *, as_json: bool) -> "JobProgress":
    """Build in this process and show the progress."""
    service.worker.make()
    with progress_display(as_json=as_json) as show:
        job = wait_for_job(service.database, job_id, show, is_over=has_ended)
    if not as_json:
        typer.echo(summary(job))
    return job


def _print_json(session: "Session", found: Iterable["Generation"]) -> None:
    from rag_service.api.administration import generation_out

    for each in found:
        terminal.print_json(generation_out(session, each).model_dump(mode="json"))
