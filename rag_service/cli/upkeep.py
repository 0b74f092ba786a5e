"""Commands that keep the data in order: `rag migrate`, `rag check`, `rag backup`, `rag restore`."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.jobs import has_ended, wait_for_job
from rag_service.cli.options import AsJson
from rag_service.cli.progress import progress_display
from rag_service.cli.workplace import open_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from indexer.findings import Finding
    from rag_service.service import Service


def migrate() -> None:
    """Bring the database to the newest revision."""
    from corpus import migrations
    from corpus.data_folder import require_own_folder
    from corpus.database import Database
    from corpus.settings import Settings

    settings = Settings.load()
    database = Database(settings.effective_database_url)
    require_own_folder(database, settings.data_dir)
    before = migrations.current_revision(database)
    migrations.upgrade(database)
    after = migrations.current_revision(database)
    database.close()
    typer.echo(f"The database is at revision {after}{' already' if before == after else ''}.")


def check(
    *,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what is found, from the database.")] = False,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Read every text and every byte of the files.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the database, the indexes and the files; ends with 1 if something does not agree."""
    from indexer import consistency

    with open_service() as service:
        places = service.database, service.originals, service.generations_dir
        findings = consistency.check(*places, thorough=thorough)
        _print_findings(findings, as_json=as_json)
        if findings and repair:
            _repair(service, findings, as_json=as_json)
            findings = consistency.check(*places, thorough=thorough)
            _print_findings(findings, as_json=as_json)
    if findings and not repair:
        terminal.warn("`rag check --repair` mends what can be mended.")
    raise typer.Exit(terminal.FAILED if findings else 0)


def _print_findings(findings: "Sequence[Finding]", *, as_json: bool) -> None:
    if as_json:
        terminal.print_json({"findings": [asdict(each) for each in findings]})
    elif findings:
        terminal.print_table(
            ("kind", "subject", "what"), ((each.kind, each.subject, each.message) for each in findings)
        )
    else:
        typer.echo("Everything agrees.")


def backup(file: Annotated[Path, typer.Argument(help="Where to write it.")]) -> None:
    """Write a consistent snapshot of database and originals into one file, while the service runs."""
    from indexer.backup import back_up

    with open_service() as service:
        manifest = back_up(service.database, service.originals, file)
    if manifest.missing:
        terminal.warn(
            f"The backup lacks the bytes of {len(manifest.missing)} files, which are gone or damaged in the "
            "data folder; `rag check --thorough` names them."
        )
    typer.echo(f"Wrote {file} ({file.stat().st_size / (1 << 20):.1f} MiB).")


def restore(file: Annotated[Path, typer.Argument(help="A backup.", exists=True, dir_okay=False)]) -> None:
    """Bring a backup back into an empty database, SQLite or PostgreSQL; indexes are made from it."""
    from corpus.data_folder import take_folder_over
    from corpus.database import Database
    from corpus.originals import Originals
    from corpus.settings import Settings
    from indexer.backup import restore as bring_back

    settings = Settings.load()
    database = Database(settings.effective_database_url)
    try:
        manifest = bring_back(database, Originals(settings.originals_dir), file)
        had_another = take_folder_over(database, settings.data_dir)
    finally:
        database.close()
    if manifest.missing:
        terminal.warn(
            f"The bytes of {len(manifest.missing)} files were lost before the backup was made; what had been "
            "read of them is here. `rag check` names them."
        )
    if had_another:
        terminal.warn(
            f"The data folder {settings.data_dir} belonged to another database, which can not be used with "
            "it from now on."
        )
    typer.echo(f"Brought {file} back; the next program makes the indexes.")


def _repair(service: "Service", findings: "Sequence[Finding]", *, as_json: bool) -> None:
    """Mend, and wait for the jobs that mend what takes longer."""
    from indexer import repair

    done = repair.repair(service.database, service.originals, service.generations_dir, findings)
    if done.jobs:
        service.embedder.make()
        service.worker.make()
    for job_id in done.jobs:
        with progress_display(as_json=as_json) as show:
            wait_for_job(service.database, job_id, show, is_over=has_ended)
