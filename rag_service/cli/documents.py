"""`rag documents`: look at documents, delete them, replace them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag_service.cli import terminal
from rag_service.cli.jobs import exit_code, failed_items, has_ended, print_failures, summary, wait_for_job
from rag_service.cli.options import AsJson, Collection, Limit, Yes
from rag_service.cli.progress import progress_display
from rag_service.cli.workplace import open_database, open_service

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from rag_service.documents import DocumentView

Document = Annotated[
    str, typer.Argument(metavar="DOCUMENT", help="Id of a document, or its external id in the collection.")
]
Status = Literal["pending", "processing", "ready", "failed"]

documents = typer.Typer(no_args_is_help=True, help="List, show, delete and replace documents.")


@documents.command("list")
def list_(
    *,
    collection: Annotated[
        str | None, typer.Option("--collection", "-c", help="Name or id of a collection; none: all.")
    ] = None,
    status: Annotated[Status | None, typer.Option(help="Only those in this status.")] = None,
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """List documents, oldest first."""
    from corpus.collections import find_collection
    from rag_service.documents import list_documents

    with open_database() as database, database.read() as session:
        collection_id = None if collection is None else find_collection(session, collection).id
        found = list_documents(session, collection_id=collection_id, status=status, limit=limit)
    if as_json:
        for each in found:
            terminal.print_json(_json(each))
        return
    terminal.print_table(
        ("document", "collection", "external id", "title", "status", "version", "chunks"),
        (
            (
                each.id,
                each.collection,
                each.external_id,
                each.title,
                each.status,
                each.version,
                each.chunk_count,
            )
            for each in found
        ),
    )


@documents.command()
def show(
    document: Document,
    *,
    collection: Collection = "default",
    text: Annotated[bool, typer.Option("--text", help="Print the document's text and nothing else.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one document, or its text: what chunks and citations are spans of."""
    from rag_service.documents import find_document, read_text

    with open_database() as database, database.read() as session:
        view = find_document(session, _resolve(session, document, collection))
        content = read_text(session, view.id) if text else ""
    if text:
        typer.echo(content, nl=terminal.is_terminal())  # a pipe gets the text exactly
    elif as_json:
        terminal.print_json(_json(view))
    else:
        terminal.print_fields(_json(view))


@documents.command()
def delete(document: Document, *, collection: Collection = "default", yes: Yes = False) -> None:
    """Delete a document; no search finds it any more when this ends."""
    from corpus.originals import Originals
    from corpus.settings import Settings
    from indexer.deletion import remove_document
    from rag_service.documents import find_document

    settings = Settings.load()
    with open_database(settings) as database:
        with database.read() as session:
            view = find_document(session, _resolve(session, document, collection))
        terminal.confirm(f"Delete {view.title!r} ({view.id})?", yes=yes)
        remove_document(database, Originals(settings.originals_dir), view.id)
    typer.echo(f"Deleted {view.title!r} ({view.id}).")


@documents.command()
def replace(
    document: Document,
    file: Annotated[Path, typer.Argument(help="The new content.", exists=True, dir_okay=False)],
    *,
    collection: Collection = "default",
    as_json: AsJson = False,
) -> None:
    """Replace a document's content; searches find the old version until the new one is complete."""
    from indexer.intake import take_in
    from indexer.uploads import Upload
    from rag_service.cli.sources import check_size, parts_of
    from rag_service.documents import find_document

    with open_service() as service:
        check_size(file, most_bytes=service.limits.upload_bytes)
        with service.database.read() as session:
            view = find_document(session, _resolve(session, document, collection))
            upload = Upload(_collection_id(session, view), filename=file.name, external_id=view.external_id)
        accepted = take_in(service.database, service.originals, parts_of(file), upload, document_id=view.id)
        if accepted.job is None:
            if as_json:
                terminal.print_json({"document": _json(view), "job": None})
            else:
                typer.echo(f"{view.title!r} ({view.id}) has these bytes already.")
            return
        service.embedder.make()
        service.worker.make()
        with progress_display(as_json=as_json) as show_progress:
            job = wait_for_job(service.database, accepted.job.id, show_progress, is_over=has_ended)
        failed = failed_items(service.database, job.id)
    if not as_json:
        typer.echo(summary(job))
    print_failures(failed)
    raise typer.Exit(exit_code(job))


def _resolve(session: "Session", name: str, collection: str) -> str:
    """Return the id of a document that is named by its id or by its external id."""
    from sqlalchemy import select

    from corpus.collections import find_collection
    from corpus.models import Document as Row

    if name.startswith("doc_"):
        return name
    collection_id = find_collection(session, collection).id
    wanted = select(Row.id).where(Row.collection_id == collection_id, Row.external_id == name)
    return session.scalar(wanted) or name


def _collection_id(session: "Session", view: "DocumentView") -> str:
    from corpus.collections import find_collection

    return find_collection(session, view.collection).id


def _json(view: "DocumentView") -> dict[str, object]:
    return asdict(view)
