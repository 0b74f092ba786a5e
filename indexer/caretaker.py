"""What a worker does beside its jobs: find new ones, and see that none is forgotten."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic

from corpus.database import Database
from indexer import durable
from indexer.building import sweep_generation_folders
from indexer.durable import Queue
from indexer.jobs import revive_job, seal_abandoned_jobs, unfinished_jobs, waiting_jobs, workflow_id
from indexer.rebuilds import compact_where_due
from indexer.reindexing import discard_abandoned
from indexer.slots import Slots

_log = logging.getLogger(__name__)
_KEEP_RECORDS = timedelta(days=1)


@dataclass(slots=True)
class Duty:
    """Something to do every now and then. A failure is logged and does not stop the next time."""

    every_s: float
    work: Callable[[], object]
    next_time: float = field(default=0.0)

    def do_if_due(self) -> None:
        """Do it, unless it was done a moment ago."""
        if monotonic() < self.next_time:
            return
        try:
            self.work()
        except Exception:  # noqa: BLE001 - the worker must outlive whatever a duty meets
            _log.exception("a duty of the worker failed; it is tried again")
        self.next_time = monotonic() + self.every_s


class JobQueuer:
    """Queues a durable workflow for each job that waits in the database."""

    def __init__(self, database: Database, queue_of_kind: dict[str, Queue]) -> None:
        self._database = database
        self._queue_of_kind = queue_of_kind
        self._queued: set[str] = set()
        self._looked_at: int | None = None

    def queue_new_jobs(self) -> None:
        """Queue the jobs that were committed since the last time; twice does no harm."""
        version = self._database.version()  # before the snapshot
        if version is not None and version == self._looked_at:
            return
        with self._database.read() as session:
            waiting = {workflow_id(job): job for job in waiting_jobs(session)}
        for identity, job in waiting.items():
            if identity not in self._queued and job.kind in self._queue_of_kind:
                self._enqueue(identity, job.id, job.kind)
        self._queued, self._looked_at = set(waiting), version

    def revive_stranded_jobs(self) -> None:
        """Start jobs again whose workflow is gone or ended without ending the job.

        That happens when the workflow's own records are lost or restored from a backup, or when the
        database did not answer while the workflow was about to note how it ended.
        """
        with self._database.write() as session:
            seal_abandoned_jobs(session)
        with self._database.read() as session:
            expected = {
                workflow_id(job): job for job in unfinished_jobs(session) if job.kind in self._queue_of_kind
            }
        missing = set(expected) - durable.living(expected)
        for identity in missing:
            self._enqueue(identity, expected[identity].id, expected[identity].kind)
        for identity in missing - durable.living(missing):
            with self._database.write() as session:
                revive_job(session, expected[identity].id, last_workflow=identity)

    def _enqueue(self, identity: str, job_id: str, kind: str) -> None:
        queue = self._queue_of_kind[kind]
        durable.enqueue(workflow=kind, queue=queue.name, workflow_id=identity, job_id=job_id)


def take_over_from_the_dead(slots: Slots, own_name: str) -> None:
    """Queue again what workers had begun that do not live any more."""
    for name in sorted(durable.busy_executors() - {own_name}):
        number = name.removeprefix("worker-")
        slot = slots.claim(int(number)) if number.isdecimal() else None
        if slot is None:
            continue  # it lives, or is being taken over by another one
        try:
            taken = durable.take_over(name)
            _log.info("took over %d workflows of %s, which has ended", taken, name)
        finally:
            slot.release()


def start_due_compactions(database: Database) -> None:
    """Queue the compaction of indexes whose tail or tombstones slow down the start of a process."""
    with database.write() as session:
        compact_where_due(session)


def tidy_generations(database: Database, generations_dir: Path) -> None:
    """Discard what nobody will use: generations that were given up, and folders without a row."""
    discard_abandoned(database, generations_dir)
    sweep_generation_folders(database, generations_dir)


def forget_finished_workflows() -> None:
    """Keep the durable workflows' own tables small."""
    while durable.forget_finished(_KEEP_RECORDS):
        pass
