"""`rag generations`, `rag reindex`, `rag compact`: which index serves a collection, and making another."""

from typing import TYPE_CHECKING, Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.jobs import exit_code, has_ended, summary, wait_for_job
from rag_service.cli.options import AsJson, Collection
from rag_service.cli.progress import progress_display
from rag_service.cli.workplace import open_database, open_service

if TYPE_CHECKING:
    from corpus.models import Generation
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
        names = {each.collection_id: find_collection(session, each.collection_id).name for each in found}
    if as_json:
        for each in found:
            terminal.print_json(_json(each, names[each.collection_id]))
        return
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
    """Let the generation that served before the present one serve again."""
    from corpus.collections import find_collection
    from corpus.errors import GenerationNotFound
    from indexer.generations import list_generations
    from indexer.reindexing import activate_generation

    with open_database() as database:
        with database.read() as session:
            found = list_generations(session, find_collection(session, collection).id)
        former = [each for each in found if each.state == "retired" and each.activated_at is not None]
        if not former:
            raise GenerationNotFound(f"Collection {collection!r} has no former generation that is kept.")
        latest = max(former, key=lambda each: each.activated_at or each.created_at)
        activate_generation(database, latest.id)
    typer.echo(f"{latest.id} serves again.")


def compact(*, collection: Collection = "default", as_json: AsJson = False) -> None:
    """Fold later changes and deletions into a new base, so that processes start faster."""
    from corpus.collections import find_collection
    from indexer.rebuilds import request_compaction

    with open_service() as service:
        with service.database.write() as session:
            job_id = request_compaction(session, find_collection(session, collection).id).id
        _work_off(service, job_id, as_json=as_json)


def _work_off(service: "Service", job_id: str, *, as_json: bool) -> None:
    """Build in this process, show the progress, and end the command."""
    service.embedder.make()
    service.worker.make()
    with progress_display(as_json=as_json) as show:
        job = wait_for_job(service.database, job_id, show, is_over=has_ended)
    if not as_json:
        typer.echo(summary(job))
    raise typer.Exit(exit_code(job))


def _json(generation: "Generation", collection: str) -> dict[str, object]:
    return {
        "id": generation.id,
        "collection": collection,
        "state": generation.state,
        "embedder": generation.embedder,
        "chunking": generation.chunking,
        "index_type": generation.index_type,
        "vector_count": generation.vector_count,
        "change_number": generation.change_number,
        "error": generation.error,
        "created_at": generation.created_at,
        "activated_at": generation.activated_at,
    }
