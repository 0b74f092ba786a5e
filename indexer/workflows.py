"""The worker: takes up the jobs in the database and carries each out as a durable workflow.

A client only writes the job's row. Every worker looks for such rows a few times a second and queues a
workflow of the job's id, which is idempotent, so any number of workers may see the same row. A small
upload goes on the queue `interactive` and is not held up by a big job on the queue `bulk`.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Self

from corpus.database import Database
from corpus.memory import give_back_memory
from corpus.originals import Originals
from indexer import durable
from indexer.caretaker import (
    Duty,
    JobQueuer,
    forget_finished_workflows,
    start_due_compactions,
    take_over_from_the_dead,
    tidy_generations,
)
from indexer.deletion import drop_noted_originals
from indexer.durable import Queue
from indexer.ingest import Parser, Workbench, ingest_next
from indexer.job_states import FINISHED
from indexer.progress import JobProgress, job_progress
from indexer.reindexing import reindex_next
from indexer.slots import Slot, claim_lowest, open_slots
from indexer.targets import FindEmbedder
from indexer.turns import Turns
from indexer.workflow_file import set_aside_if_damaged

_log = logging.getLogger(__name__)
_INTERACTIVE = Queue("interactive", at_once=4, poll_s=0.2)
_BULK = Queue("bulk", at_once=1, poll_s=0.5)
_UPKEEP = Queue("upkeep", at_once=1, poll_s=0.5)
_QUEUES = {"upload": _INTERACTIVE, "ingestion": _BULK, "reindex": _UPKEEP, "compaction": _UPKEEP}
_LOOK_S = 0.1  # how often a worker looks for new jobs; on SQLite first whether anything was committed
_CARE_S = 5.0  # how often it looks for dead workers and stranded jobs
_TRIM_S = 10.0
_COMPACT_S = 60.0  # how often it looks whether an index wants compaction
_TIDY_S = 600.0
_LONGEST_STOP_S = 60.0


class _Stopping(BaseException):  # not an Exception: DBOS would note it as the workflow's outcome
    """The worker stops; the workflow stays pending and is taken up again by the next worker."""


class Worker:
    """Carries out jobs between `start` and `stop`; one a process, as many processes as you like.

    Args:
        database: at its newest revision.
        originals: the uploaded bytes.
        parser: reads them; the worker does not close it.
        find_embedder: gives the embedder of an id.
        data_dir: folder of the generations; on SQLite, of the lock files and DBOS's database too.
        watch: gets a job's id, and is entered around each step that takes in documents of it.
    """

    def __init__(
        self,
        database: Database,
        *,
        originals: Originals,
        parser: Parser,
        find_embedder: FindEmbedder,
        data_dir: Path,
        watch: Callable[[str], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._watch = watch
        self._database = database
        self._originals = originals
        self._data_dir = data_dir
        self._generations_dir = data_dir / "generations"
        self._slots = open_slots(database, data_dir / "workers")
        self._slot: Slot | None = None
        self._bench = Workbench(database, originals, parser, find_embedder, Turns(), self._pause)
        self._stopping = threading.Event()
        self._running = 0
        self._step_ended = threading.Condition()
        self._caretaker: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def name(self) -> str:
        """What durable workflows know this worker by."""
        if self._slot is None:
            raise RuntimeError("the worker has not started")
        return f"worker-{self._slot.number}"

    @property
    def is_alive(self) -> bool:
        """Whether it takes up jobs; one that lost its number to another worker has ended by itself."""
        return self._slot is not None and not self._stopping.is_set()

    def start(self) -> None:
        """Claim a number, go on with what its last holder left, and take up jobs.

        Raises:
            NotReady: the file of the workflows is damaged, and another worker uses it.
        """
        self._stopping.clear()
        self._originals.sweep()
        self._slot = claim_lowest(self._slots)
        try:
            self._set_aside_damaged_workflows(self._slot.number)
            self._launch()
        except BaseException:
            self.stop()
            raise
        self._caretaker = threading.Thread(target=self._take_care, name="rag-caretaker", daemon=True)
        self._caretaker.start()

    def _set_aside_damaged_workflows(self, own_number: int) -> None:
        if not self._database.is_postgresql:
            alone = not self._slots.is_any_held(besides=own_number)
            set_aside_if_damaged(durable.workflow_file(self._data_dir), alone=alone)

    def _launch(self) -> None:
        durable.launch(
            durable.system_database_url(self._database, self._data_dir),
            executor_id=self.name,
            workflows={
                "upload": self._upload,
                "ingestion": self._ingestion,
                "reindex": self._reindex,
                "compaction": self._reindex,
            },
            queues=[_INTERACTIVE, _BULK, _UPKEEP],
        )

    def begin_stop(self) -> None:
        """Take up nothing more. What the present step uses may be closed now, so that `stop` is quick."""
        self._stopping.set()

    def stop(self) -> None:
        """Stop between two steps of the work; what is unfinished goes on with the next worker."""
        self.begin_stop()
        if self._caretaker is not None:
            self._caretaker.join()
            self._caretaker = None
        with self._step_ended:
            if not self._step_ended.wait_for(lambda: self._running == 0, timeout=_LONGEST_STOP_S):
                _log.warning("a step of a job takes longer than %s s; it is left", _LONGEST_STOP_S)
        durable.shut_down()
        if self._slot is not None:
            self._slot.release()
            self._slot = None

    def wait(self, job_id: str, *, timeout_s: float | None = None) -> JobProgress:
        """Return the job's progress when the job has ended, or after `timeout_s` seconds.

        Raises:
            JobNotFound: there is no such job.
        """
        return wait_for_job(self._database, job_id, timeout_s=timeout_s)

    def _upload(self, job_id: str) -> None:
        self._ingest(job_id, urgent=True)

    def _ingestion(self, job_id: str) -> None:
        self._ingest(job_id, urgent=False)

    def _ingest(self, job_id: str, *, urgent: bool) -> None:
        def step(job_id: str) -> bool:
            with self._watch(job_id):
                return ingest_next(self._bench, job_id, urgent=urgent)

        self._repeat("ingest_next", step, job_id)

    def _reindex(self, job_id: str) -> None:
        def step(job_id: str) -> bool:
            return reindex_next(self._bench, self._generations_dir, job_id)

        self._repeat("reindex_next", step, job_id)

    def _repeat(self, name: str, step: Callable[[str], bool], job_id: str) -> None:
        """Run a step until it says that nothing is left."""
        with self._at_work():
            while durable.run_step(name, step, job_id):
                self._pause()

    def _pause(self) -> None:
        if self._stopping.is_set():
            raise _Stopping

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        self._pause()
        with self._step_ended:
            self._running += 1
        try:
            yield
        finally:
            with self._step_ended:
                self._running -= 1
                self._step_ended.notify_all()

    def _take_care(self) -> None:
        queuer = JobQueuer(self._database, _QUEUES)
        duties = [
            Duty(_LOOK_S, queuer.queue_new_jobs),
            Duty(_CARE_S, self._keep_number),
            Duty(_CARE_S, lambda: take_over_from_the_dead(self._slots, self.name)),
            Duty(_CARE_S, queuer.revive_stranded_jobs),
            Duty(_TRIM_S, give_back_memory),
            Duty(_COMPACT_S, lambda: start_due_compactions(self._database)),
            Duty(_TIDY_S, self._originals.sweep),
            Duty(_TIDY_S, lambda: drop_noted_originals(self._database, self._originals)),
            Duty(_TIDY_S, lambda: tidy_generations(self._database, self._generations_dir)),
            Duty(_TIDY_S, forget_finished_workflows),
        ]
        while not self._stopping.wait(_LOOK_S / 2):
            for duty in duties:
                duty.do_if_due()

    def _keep_number(self) -> None:
        """Take the number again after a lost connection; if another worker has it by now, stop."""
        if self._slot is None or self._slot.is_held():
            return
        again = self._slots.claim(self._slot.number)
        if again is not None:
            self._slot = again
            return
        _log.error("another worker has the number of this one, %s; stopping", self.name)
        self._stopping.set()


def wait_for_job(
    database: Database, job_id: str, *, timeout_s: float | None = None, poll_s: float = 0.1
) -> JobProgress:
    """Return a job's progress when the job has ended, or after `timeout_s` seconds.

    Raises:
        JobNotFound: there is no such job.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        with database.read() as session:
            progress = job_progress(session, job_id)
        if progress.status in FINISHED or (deadline is not None and time.monotonic() >= deadline):
            return progress
        time.sleep(poll_s)
