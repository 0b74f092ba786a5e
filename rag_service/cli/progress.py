"""How long work shows itself: a bar for people, plain lines for logs, JSON lines for programs."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from rag_service.cli import terminal

if TYPE_CHECKING:
    from indexer.progress import JobProgress

Show = Callable[["JobProgress"], None]
LINES_EVERY_S = 2.0


@contextmanager
def progress_display(*, as_json: bool) -> Iterator[Show]:
    """Give a function that shows each new state of one job."""
    if as_json:
        yield _changes_only(lambda progress: terminal.print_json(job_json(progress)))
    elif terminal.is_terminal():
        with _bar() as show:
            yield show
    else:
        yield _changes_only(lambda progress: typer.echo(_line(progress)))


def job_json(progress: "JobProgress") -> dict[str, object]:
    """Return a job in the form that the HTTP interface gives it."""
    from dataclasses import asdict

    return asdict(progress)


@contextmanager
def _bar() -> Iterator[Show]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns) as bar:
        task = bar.add_task("", total=None, pace="")

        def show(progress: "JobProgress") -> None:
            counts = progress.counts
            bar.update(
                task,
                description=_stage(progress),
                total=counts.total or None,
                completed=counts.finished,
                pace=_pace(progress),
            )

        yield show


def _changes_only(show: Show) -> Show:
    """Show a state when it differs from the last one shown, not more often than every two seconds."""
    last: list[tuple[object, float]] = [(None, 0.0)]

    def show_change(progress: "JobProgress") -> None:
        state = (progress.status, progress.stage, progress.counts)
        shown, moment = last[0]
        over = progress.finished_at is not None
        if state != shown and (over or time.monotonic() - moment >= LINES_EVERY_S):
            last[0] = (state, time.monotonic())
            show(progress)

    return show_change


def _line(progress: "JobProgress") -> str:
    counts = progress.counts
    parts = [f"{counts.done} of {counts.total} {things(progress)}"]
    parts += [f"{counts.failed} failed"] if counts.failed else []
    parts += [f"{counts.skipped} skipped"] if counts.skipped else []
    pace = _pace(progress)
    return f"{_stage(progress)}: {', '.join(parts)}{f' ({pace})' if pace else ''}"


def things(progress: "JobProgress") -> str:
    """Name what a job counts."""
    return "documents and chunks" if progress.kind in {"reindex", "compaction"} else "documents"


def _stage(progress: "JobProgress") -> str:
    over = progress.finished_at is not None
    return progress.status if over or progress.stage is None else progress.stage


def _pace(progress: "JobProgress") -> str:
    if progress.rate is None or progress.finished_at is not None:
        return ""
    pace = f"{progress.rate:.1f}/s"
    return pace if progress.eta_s is None else f"{pace}, {duration(progress.eta_s)} left"


def duration(seconds: float) -> str:
    """Return a time span for people: ``45 s``, ``12 min``, ``3 h 20 min``."""
    whole = round(seconds)
    if whole < 100:  # noqa: PLR2004 - up to here seconds are the easier ones
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"  # noqa: PLR2004 - same
