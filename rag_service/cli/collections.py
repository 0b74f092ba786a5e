"""`rag collections`: named sets of documents."""

import shutil
from typing import Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson, Limit, MaxTokens, Overlap, Yes
from rag_service.cli.workplace import open_database, open_service

Name = Annotated[str, typer.Argument(metavar="COLLECTION", help="Name or id of the collection.")]

collections = typer.Typer(no_args_is_help=True, help="List, make and delete named sets of documents.")


@collections.command("list")
def list_(*, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List collections, oldest first."""
    from corpus.collections import list_collections
    from rag_service.api.collections import collection_out

    with open_database() as database, database.read() as session:
        found = list_collections(session, limit=limit)
    if as_json:
        for each in found:
            terminal.print_json(collection_out(each).model_dump(mode="json"))
        return
    terminal.print_table(
        ("collection", "name", "documents", "embedder", "chunking"),
        ((each.id, each.name, each.document_count, each.embedder, each.chunking) for each in found),
    )


@collections.command()
def create(
    name: Annotated[str, typer.Argument(help="A name that no other collection has.")],
    *,
    description: Annotated[str, typer.Option(help="What its documents are about.")] = "",
    max_tokens: MaxTokens = None,
    overlap: Overlap = None,
    as_json: AsJson = False,
) -> None:
    """Make an empty collection; it keeps the embedder of RAG_EMBEDDER and its chunking."""
    from corpus.collections import create_collection, summarize_collection
    from rag_service.api.collections import collection_out

    with open_service() as service:
        embedder = service.embedder.make()
        with service.database.write() as session:
            made = create_collection(
                session,
                name=name,
                embedder=embedder,
                description=description,
                max_tokens=max_tokens,
                overlap=overlap,
            )
            summary = summarize_collection(session, made.id)
    if as_json:
        terminal.print_json(collection_out(summary).model_dump(mode="json"))
    else:
        typer.echo(f"Made collection {summary.name} ({summary.id}).")


@collections.command()
def delete(name: Name, *, yes: Yes = False) -> None:
    """Delete a collection with all its documents."""
    from corpus.collections import delete_collection, find_collection, summarize_collection
    from corpus.originals import Originals
    from corpus.settings import Settings
    from indexer.deletion import drop_originals

    settings = Settings.load()
    with open_database(settings) as database:
        with database.read() as session:
            found = summarize_collection(session, find_collection(session, name).id)
        terminal.confirm(f"Delete collection {found.name} with {found.document_count} documents?", yes=yes)
        with database.write() as session:
            leftovers = delete_collection(session, found.id)
        drop_originals(database, Originals(settings.originals_dir), leftovers.originals)
    for generation in leftovers.generations:
        shutil.rmtree(settings.generations_dir / generation, ignore_errors=True)
    typer.echo(f"Deleted collection {found.name} with {found.document_count} documents.")
