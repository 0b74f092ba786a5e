"""Durable workflows on DBOS: what was begun is finished, by this process or another one.

DBOS keeps in its own tables which workflow is where; on SQLite in a file of its own, on PostgreSQL in a
schema of its own. A workflow is a function that calls steps; a step that has ended is not run again.
"""

import logging
import sqlite3
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dbos import DBOS, DBOSClient
from sqlalchemy import make_url

from corpus.database import Database

APPLICATION = "rag-service"
# Recovery takes up workflows of the same version only. Ours stay readable across releases: a workflow is
# "call one step until it says that nothing is left", so its version never changes.
VERSION = "1"
_POLL_S = 0.1
_FINISHED = ["SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]
_ALIVE = ["ENQUEUED", "PENDING", "DELAYED"]
_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Queue:
    """Workflows of one queue run side by side, up to `at_once` a worker, which looks every `poll_s` seconds.

    Looking costs CPU time also when there is nothing: 2% of a core at ten times a second.
    """

    name: str
    at_once: int
    poll_s: float


def system_database_url(database: Database, data_dir: Path) -> str:
    """Return where DBOS keeps its tables: our PostgreSQL database, or a file of its own on SQLite."""
    if database.is_postgresql:
        return database.url.render_as_string(hide_password=False)
    return f"sqlite:///{workflow_file(data_dir)}"


def workflow_file(data_dir: Path) -> Path:
    """Return the file in which DBOS keeps its tables on SQLite."""
    return data_dir.absolute() / "workflows.sqlite3"


def launch(
    url: str,
    *,
    executor_id: str,
    workflows: Mapping[str, Callable[[str], None]],
    queues: Collection[Queue],
) -> None:
    """Start to run workflows in this process, those that an earlier `executor_id` left first.

    Args:
        url: see `system_database_url`.
        executor_id: names this worker; no living worker may have the same.
        workflows: function by name; it gets a job's id.
        queues: where workflows wait.
    """
    _quieten()
    _use_write_ahead_log(url)
    DBOS(
        config={
            "name": APPLICATION,
            "system_database_url": url,
            "application_version": VERSION,
            "executor_id": executor_id,
            "log_level": "WARNING",
            "enable_otlp": False,
            "notification_listener_polling_interval_sec": _POLL_S,
        }
    )
    for name, function in workflows.items():
        # A workflow may be taken up any number of times: a job that kills its worker is stopped by
        # counting the tries of its documents, not of the job.
        DBOS.workflow(name=name, max_recovery_attempts=None)(_plain(function))
    _register_queues(url, queues)
    DBOS.launch()


def shut_down() -> None:
    """Stop; workflows that have not ended stay pending, for the next worker of this `executor_id`."""
    DBOS.destroy(destroy_registry=True)


def run_step(name: str, function: Callable[[str], bool], job_id: str) -> bool:
    """Run a step of the present workflow, or return what it returned before a crash."""
    return DBOS.run_step({"name": name}, function, job_id)


def enqueue(*, workflow: str, queue: str, workflow_id: str, job_id: str) -> None:
    """Queue a workflow; a known `workflow_id` is left as it is."""
    DBOS.enqueue_workflow_with_options(
        {
            "workflow_name": workflow,
            "queue_name": queue,
            "workflow_id": workflow_id,
            "app_version": VERSION,
        },
        job_id,
    )


def living(workflow_ids: Collection[str]) -> set[str]:
    """Return those of the workflows that wait or run."""
    if not workflow_ids:
        return set()
    found = DBOS.list_workflows(
        workflow_ids=list(workflow_ids), status=_ALIVE, load_input=False, load_output=False
    )
    return {status.workflow_id for status in found}


def busy_executors() -> set[str]:
    """Return the names of workers, dead or alive, that have pending workflows."""
    pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
    return {status.executor_id for status in pending if status.executor_id}


def take_over(executor_id: str) -> int:
    """Queue the pending workflows of a dead worker again; return how many those were."""
    return len(DBOS._recover_pending_workflows([executor_id]))  # noqa: SLF001 - DBOS has no public name for it


def forget_finished(older_than: timedelta) -> int:
    """Delete DBOS's records of workflows that ended long ago; return how many those were."""
    horizon = (datetime.now(UTC) - older_than).isoformat()
    finished = DBOS.list_workflows(
        status=_FINISHED, completed_before=horizon, limit=_AT_ONCE, load_input=False, load_output=False
    )
    if finished:
        DBOS.delete_workflows([status.workflow_id for status in finished])
    return len(finished)


def _register_queues(url: str, queues: Collection[Queue]) -> None:
    """Register them before the launch: DBOS takes a second to notice queues that come later."""
    DBOS.migrate(url)
    client = DBOSClient(system_database_url=url, application_name=APPLICATION)
    try:
        for queue in queues:
            client.register_queue(
                queue.name, worker_concurrency=queue.at_once, polling_interval_sec=queue.poll_s
            )
    finally:
        client.destroy()


def _plain(function: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that DBOS can put its marks on; bound methods take none."""

    def workflow(job_id: str) -> None:
        function(job_id)

    return workflow


def _quieten() -> None:
    """Send DBOS's log lines the way of all others; with a handler in place it adds none of its own."""
    logger = logging.getLogger("dbos")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _use_write_ahead_log(url: str) -> None:
    """Let readers and a writer of the file work at once; SQLite remembers that in the file."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return
    with closing(sqlite3.connect(parsed.database, timeout=30)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
