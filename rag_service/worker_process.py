"""The worker beside `rag serve`: a process of its own, so that answers stay fast while documents are read.

It is started again whenever it ends by itself, and ends when the service does, however that ends.
"""

import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import Self

_FIRST_REST_S = 1.0
_LONGEST_REST_S = 30.0
_STEADY_AFTER_S = 60.0  # a process that has lived that long is not about to die at once again
_STOP_PATIENCE_S = 30.0
_NICENESS = 5  # on a busy machine the service gets about three times as much of a core
_context = multiprocessing.get_context("spawn")
_log = logging.getLogger(__name__)


class WorkerProcess:
    """A process that does some work until it is told to stop, kept alive between `start` and `stop`.

    Args:
        work: a function of a module; it gets an event that is set when it is to end.
    """

    def __init__(self, work: Callable[[threading.Event], None]) -> None:
        self._work = work
        self._stopping = threading.Event()
        self._process: SpawnProcess | None = None
        self._watcher = threading.Thread(target=self._keep_alive, name="worker-watcher", daemon=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process's number at this moment."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process and watch it."""
        self._watcher.start()

    def stop(self) -> None:
        """End the process between two steps of its work; what is unfinished goes on with the next worker."""
        self._stopping.set()
        if self._process is not None and self._process.is_alive():
            self._process.terminate()
        self._watcher.join(_STOP_PATIENCE_S)
        if self._process is not None and self._process.is_alive():
            _log.warning("the worker does not end; it is killed")
            self._process.kill()

    def _keep_alive(self) -> None:
        rest_s = _FIRST_REST_S
        while not self._stopping.is_set():
            began = time.monotonic()
            self._process = _context.Process(target=_run, args=(self._work,), name="rag-worker")
            self._process.start()
            if self._stopping.is_set():  # `stop` came before there was anything to end
                self._process.terminate()
            self._process.join()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > _STEADY_AFTER_S:
                rest_s = _FIRST_REST_S
            _log.error("the worker ended (%s); starting it again", self._process.exitcode)
            self._stopping.wait(rest_s)
            rest_s = min(2 * rest_s, _LONGEST_REST_S)


def _run(work: Callable[[threading.Event], None]) -> None:
    """Work until told to stop, or until the parent is gone; whoever waits for an answer goes first."""
    os.nice(_NICENESS)
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent too, which ends this in order
    threading.Thread(target=_wait_for_parents_end, args=(stopped,), daemon=True).start()
    work(stopped)
    logging.shutdown()
    os._exit(
        0
    )  # all is put away; taking torch and its threads down would cost the service seconds of its end


def _wait_for_parents_end(stopped: threading.Event) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        stopped.set()
