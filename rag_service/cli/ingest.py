"""`rag ingest`: take in files and folders.

The command writes documents and a job to the database, then works the job off in its own process. It
can run beside `rag serve`, which sees each document when it is ready. Broken off at any point, it goes
on when it is run again: documents that are there are skipped, and work that was left is finished.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag_service.cli import terminal
from rag_service.cli.jobs import (
    exit_code,
    failed_items,
    has_ended,
    has_no_open_items,
    print_failures,
    wait_for_job,
)
from rag_service.cli.options import AsJson, Collection
from rag_service.cli.progress import Show, duration, progress_display
from rag_service.cli.workplace import open_service

if TYPE_CHECKING:
    from indexer.intake import Bytes
    from indexer.progress import JobProgress
    from indexer.uploads import Upload
    from rag_service.service import Service
    from rag_service.sources.source import Source

BATCH = 32
OnDuplicate = Literal["skip", "replace", "error"]


def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...", help="Files, folders, patterns; archives (zip, tar); lines (.jsonl)."
        ),
    ],
    *,
    collection: Collection = "default",
    recursive: Annotated[bool, typer.Option(help="Take folders inside folders too.")] = True,
    on_duplicate: Annotated[
        OnDuplicate, typer.Option(help="What to do with bytes that the collection has already.")
    ] = "skip",
    follow: Annotated[
        bool, typer.Option(help="Read the documents now, or leave them to `rag serve` or `rag worker`.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Take in files: text, Markdown, HTML, PDF, Word, PowerPoint, Excel, OpenDocument, e-mail and more.

    A file's external id is its path relative to the folder that is named. The same id with other bytes
    is a new version that replaces the old one.
    """
    from corpus.settings import Settings
    from rag_service.cli.sources import check_paths, find_sources

    settings = Settings.load()
    check_paths(paths, recursive=recursive, leave_out=settings.data_dir)
    found = find_sources(paths, recursive=recursive, leave_out=settings.data_dir)
    with open_service(settings) as service:
        try:
            with progress_display(as_json=as_json) as show:
                job, resumed = _ingest(service, found, collection, on_duplicate, show, follow=follow)
        except KeyboardInterrupt:
            terminal.warn("Broken off; the same command goes on where this one stopped.")
            raise typer.Exit(terminal.INTERRUPTED) from None
        failed = failed_items(service.database, job.id)
    if not as_json:
        typer.echo(_outcome(job, resumed))
    print_failures(failed)  # on standard error, which no program reads as JSON
    raise typer.Exit(exit_code(job))


def _ingest(
    service: "Service",
    found: Iterable["Source"],
    collection: str,
    on_duplicate: OnDuplicate,
    show: Show,
    *,
    follow: bool,
) -> tuple["JobProgress", int]:
    """The story of the command: receive everything, then work off what is not there yet.

    Returns the job, and how many documents were read that earlier runs had left.
    """
    from indexer.intake import add_to_job
    from indexer.jobs import finish_job, seal_job
    from indexer.progress import job_progress

    job_id = _start_job(service, collection)
    try:
        for batch in _batches(service, job_id, found, collection):
            add_to_job(service.database, service.originals, job_id, batch, on_duplicate=on_duplicate)
            with service.database.read() as session:
                show(job_progress(session, job_id))
    finally:
        with service.database.write() as session:
            seal_job(session, job_id)
            finish_job(session, job_id)  # if all of it was known already, it needs no worker
    resumed = _work_off(service, job_id, show) if follow else 0
    with service.database.read() as session:
        job = job_progress(session, job_id)
    show(job)  # the last one shown may have been an earlier job, which had these documents
    return job, resumed


def _start_job(service: "Service", collection: str) -> str:
    from indexer.jobs import create_job

    collection_id = _collection_id(service, collection)
    with service.database.write() as session:
        return create_job(session, "ingestion", collection_id=collection_id, receiving=True).id


def _collection_id(service: "Service", name: str) -> str:
    """Return a collection's id; the default one is made when it is first needed."""
    from corpus.collections import DEFAULT_COLLECTION, find_collection, find_or_create_collection
    from corpus.errors import CollectionNotFound

    try:
        with service.database.read() as session:
            return find_collection(session, name).id
    except CollectionNotFound:
        if name != DEFAULT_COLLECTION:
            raise
    embedder = service.embedder.make()
    with service.database.write() as session:
        return find_or_create_collection(session, name=name, embedder=embedder).id


def _batches(
    service: "Service", job_id: str, found: Iterable["Source"], collection: str
) -> Iterator[list[tuple["Bytes", "Upload"]]]:
    """Yield some uploads at a time; a source that can not be read becomes a failed item of the job.

    Large ones are read from their file or archive while they are stored, before the next one is opened.
    """
    from corpus.errors import CorpusError
    from indexer.intake import add_failed_item
    from rag_service.sources.archives import DAMAGED

    batch: list[tuple[Bytes, Upload]] = []
    for source in found:
        try:
            data = source.open(most_bytes=service.limits.upload_bytes)
            collection_id = _collection_id(service, source.collection or collection)
        except (CorpusError, *DAMAGED) as error:
            with service.database.write() as session:
                add_failed_item(session, job_id, name=source.label, error=str(error))
            continue
        batch.append((data, source.upload(collection_id)))
        if len(batch) == BATCH or not isinstance(data, bytes):
            yield batch
            batch = []
    yield batch


def _work_off(service: "Service", job_id: str, show: Show) -> int:
    """Read this job's documents, and those of earlier, broken off jobs that this one has skipped.

    Returns how many the latter were.
    """
    unfinished = _unfinished_jobs(service, job_id)
    earlier = [each for each in unfinished if each != job_id]
    before = sum(_done(service, each) for each in earlier)
    if unfinished:
        service.embedder.make()
        service.worker.make()
    for each in unfinished:
        over = has_ended if each == job_id else has_no_open_items
        wait_for_job(service.database, each, show, is_over=over)
    return sum(_done(service, each) for each in earlier) - before


def _done(service: "Service", job_id: str) -> int:
    from indexer.progress import job_progress

    with service.database.read() as session:
        return job_progress(session, job_id).counts.done


def _unfinished_jobs(service: "Service", job_id: str) -> list[str]:
    """Return the jobs that still have to read documents of this job, itself included, oldest first."""
    from sqlalchemy import or_, select

    from corpus.models import JobItem

    documents = select(JobItem.document_id).where(JobItem.job_id == job_id)
    ours = or_(JobItem.job_id == job_id, JobItem.document_id.in_(documents))
    unread = select(JobItem.job_id).where(JobItem.state.in_(("queued", "running")), ours).distinct()
    with service.database.read() as session:
        return sorted(session.scalars(unread))


def _outcome(job: "JobProgress", resumed: int) -> str:
    counts = job.counts
    parts = [f"{counts.done} read", f"{counts.skipped} known already", f"{counts.failed} failed"]
    parts += [f"{resumed} read that an earlier run had left"] if resumed else []
    waiting = counts.total - counts.finished
    parts += [f"{waiting} waiting for `rag serve` or `rag worker` ({job.id})"] if waiting else []
    took = f" in {duration((job.finished_at - job.created_at).total_seconds())}" if job.finished_at else ""
    return f"{counts.total} documents{took}: {', '.join(parts)}."
