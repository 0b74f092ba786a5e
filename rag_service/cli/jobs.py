"""`rag jobs`: look at long work, wait for it, cancel it, try its failed parts again."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson, Limit
from rag_service.cli.progress import Show, duration, job_json, progress_display, things
from rag_service.cli.workplace import open_database

if TYPE_CHECKING:
    from corpus.database import Database
    from indexer.progress import ItemProgress, JobProgress

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Id of the job.")]
LOOK_EVERY_S = 0.2
PAGE = 500

jobs = typer.Typer(
    no_args_is_help=True, help="Look at long work, wait for it, cancel it, retry its failures."
)


@jobs.command("list")
def list_(*, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List jobs, newest first."""
    from indexer.progress import list_jobs

    with open_database() as database, database.read() as session:
        found = list_jobs(session, limit=limit)
    if as_json:
        for job in found:
            terminal.print_json(job_json(job))
        return
    headings = ("job", "kind", "status", "done", "failed", "skipped", "of", "created")
    terminal.print_table(headings, (_row(job) for job in found))


@jobs.command()
def show(job_id: JobId, *, as_json: AsJson = False) -> None:
    """Show one job, and why documents of it failed."""
    from indexer.progress import job_progress

    with open_database() as database:
        with database.read() as session:
            job = job_progress(session, job_id)
        failed = failed_items(database, job_id)
    if as_json:
        terminal.print_json({**job_json(job), "failed_items": [_item_json(item) for item in failed]})
        return
    typer.echo(summary(job))
    print_failures(failed)


@jobs.command()
def watch(job_id: JobId, *, as_json: AsJson = False) -> None:
    """Show a job's progress until it ends; the work goes on without it too."""
    with open_database() as database:
        with progress_display(as_json=as_json) as show_progress:
            job = wait_for_job(database, job_id, show_progress, is_over=has_ended)
        if not as_json:
            typer.echo(summary(job))
        print_failures(failed_items(database, job_id))
    raise typer.Exit(exit_code(job))


@jobs.command()
def cancel(job_id: JobId) -> None:
    """Cancel a job: documents that were read stay, the others are left out; a new index is thrown away."""
    from indexer.jobs import cancel_job, find_job
    from indexer.progress import job_progress
    from indexer.rebuilds import REBUILDS, cancel_reindex

    with open_database() as database:
        with database.write() as session:
            cancel_it = cancel_reindex if find_job(session, job_id).kind in REBUILDS else cancel_job
            cancel_it(session, job_id)
        with database.read() as session:
            typer.echo(summary(job_progress(session, job_id)))


@jobs.command()
def retry(job_id: JobId) -> None:
    """Queue a job's failed documents again; `rag serve` or `rag worker` takes them up."""
    from indexer.jobs import retry_job

    with open_database() as database, database.write() as session:
        count = retry_job(session, job_id)
    if count:
        typer.echo(f"{count} documents wait again; `rag jobs watch {job_id}` shows how far they are.")
    else:
        typer.echo(f"Job {job_id} has no failed documents that could be tried again.")


def wait_for_job(
    database: "Database", job_id: str, show_progress: Show, *, is_over: Callable[["JobProgress"], bool]
) -> "JobProgress":
    """Show a job's progress until it is over, and return its last state."""
    from indexer.progress import job_progress

    while True:
        with database.read() as session:
            job = job_progress(session, job_id)
        show_progress(job)
        if is_over(job):
            return job
        time.sleep(LOOK_EVERY_S)


def has_ended(job: "JobProgress") -> bool:
    """Whether nothing more happens in a job."""
    return job.finished_at is not None


def has_no_open_items(job: "JobProgress") -> bool:
    """Whether all that a job was given is finished; its client may still be adding to it."""
    return has_ended(job) or job.counts.finished == job.counts.total


def failed_items(database: "Database", job_id: str) -> list["ItemProgress"]:
    """Return every failed item of a job, with its reason."""
    from indexer.progress import list_items

    found: list[ItemProgress] = []
    after: int | None = None
    with database.read() as session:
        while page := list_items(session, job_id, state="failed", limit=PAGE, after=after):
            found += page
            after = page[-1].position
    return found


def print_failures(failed: list["ItemProgress"]) -> None:
    """Print what could not be read, and why."""
    for item in failed:
        terminal.warn(terminal.on_one_line(f"  {item.name}: {item.error}"))


def summary(job: "JobProgress") -> str:
    """Say in one line what became of a job, or how far it is."""
    counts = job.counts
    parts = [f"{counts.done} of {counts.total} {things(job)} done" if counts.total else "nothing was missing"]
    parts += [f"{number} {name}" for number, name in _other_counts(job) if number]
    times = ""
    if job.started_at and job.finished_at:
        times = f" in {duration((job.finished_at - job.started_at).total_seconds())}"
    reason = f" {job.error}" if job.error else ""
    return f"{job.id} {job.status}{times}: {', '.join(parts)}.{reason}"


def exit_code(job: "JobProgress") -> int:
    """Return 0 if nothing went wrong so far; a document that failed is something that went wrong."""
    return terminal.FAILED if job.status in {"failed", "cancelled"} or job.counts.failed else 0


def _other_counts(job: "JobProgress") -> tuple[tuple[int, str], ...]:
    counts = job.counts
    return (counts.failed, "failed"), (counts.skipped, "skipped"), (counts.cancelled, "cancelled")


def _row(job: "JobProgress") -> tuple[object, ...]:
    counts = job.counts
    made = terminal.day(job.created_at)
    return job.id, job.kind, job.status, counts.done, counts.failed, counts.skipped, counts.total, made


def _item_json(item: "ItemProgress") -> dict[str, object]:
    return {"position": item.position, "name": item.name, "error": item.error, "error_kind": item.error_kind}
