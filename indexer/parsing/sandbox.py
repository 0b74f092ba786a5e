"""Parsing in processes that can be killed: no document hangs, fells or bloats the service."""

import os
import queue
import select
import subprocess
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import Self

from corpus.chunks import ParsedDocument
from corpus.errors import DocumentError, ParseLimitExceeded
from indexer.parsing.frames import LENGTH, open_reply, request_frames
from indexer.parsing.worker import READY

_START_TIMEOUT_S = 60.0
_END_TIMEOUT_S = 1.0
_PIPE_BYTES = 1 << 20  # read or written at once
_MIB = 1 << 20
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")


class ParserPool:
    """Up to `workers` processes that parse, started when first needed and kept.

    Thread-safe; more threads than workers wait their turn. Each document has `timeout_s` seconds of
    wall clock and `memory_mb` MiB of address space beyond what an idle worker has. A worker that
    breaks a limit is killed and replaced; only the document that it held fails. The workers know
    nothing of this process's environment, where keys and passwords stand, and end with it.
    """

    def __init__(self, *, timeout_s: float, memory_mb: int, workers: int = 1) -> None:
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._all = [_Worker(timeout_s, memory_mb) for _ in range(workers)]
        self._idle: queue.LifoQueue[_Worker] = queue.LifoQueue()  # the last used is the warmest
        for worker in self._all:
            self._idle.put(worker)
        self._closed = False

    def parse(self, data: bytes, *, filename: str | None, media_type: str | None = None) -> ParsedDocument:
        """Parse like `indexer.parsing.parse_document`, in another process.

        Raises:
            DocumentError: this document can not be read; the subclass and the message say why.
            ParseLimitExceeded: it took too much time or memory, or its parser died.
            RuntimeError: the pool is closed, or no worker can be started on this machine.
        """
        worker = self._idle.get()
        try:
            if self._closed:
                raise RuntimeError("The parser pool is closed.")
            result = worker.parse(data, filename, media_type)
        except _TimedOut:
            raise ParseLimitExceeded(
                f"Reading the document took more than {self._timeout_s:g} seconds (RAG_PARSE_TIMEOUT_S)."
            ) from None
        except _Died:
            if self._closed:
                raise RuntimeError("The parser pool was closed meanwhile.") from None
            raise ParseLimitExceeded(
                "Reading the document ended its parser: it takes more memory than "
                f"{self._memory_mb} MiB (RAG_PARSE_MEMORY_MB), or the file is made to break parsers."
            ) from None
        finally:
            if self._closed:
                worker.end()
            self._idle.put(worker)
        if isinstance(result, DocumentError):
            raise result
        return result

    def close(self) -> None:
        """End all workers; what they are parsing fails."""
        self._closed = True
        held = []
        with suppress(queue.Empty):
            while True:
                held.append(self._idle.get_nowait())
        for worker in held:
            worker.end()
            self._idle.put(worker)
        for worker in self._all:
            worker.interrupt()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _TimedOut(Exception):
    """The deadline is over; the worker was killed."""


class _Died(Exception):
    """The worker's end of the pipe is closed."""


class _Worker:
    """One process, started at the first document and again after each death."""

    def __init__(self, timeout_s: float, memory_mb: int) -> None:
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None

    def parse(
        self, data: bytes, filename: str | None, media_type: str | None
    ) -> ParsedDocument | DocumentError:
        """Return the document or the error that the worker's reply carries."""
        process = self._running()
        deadline = time.monotonic() + self._timeout_s
        try:
            for part in request_frames(data, filename, media_type):
                _write(process, part, deadline)
            # A text is never much larger than the memory it was made in.
            reply = _read_frame(process, deadline, 2 * self._memory_mb * _MIB)
            result, retiring = open_reply(reply)
        except (ValueError, KeyError, TypeError):
            self._kill(process)
            raise _Died from None
        except BaseException:
            self._kill(process)
            raise
        if retiring:
            self._end(process)
        return result

    def end(self) -> None:
        """End the process, if there is one; for the thread that holds the worker."""
        if self._process is not None:
            self._end(self._process)

    def interrupt(self) -> None:
        """Kill the process from another thread; the one that holds the worker cleans up."""
        process = self._process
        if process is not None:
            process.kill()

    def _running(self) -> "subprocess.Popen[bytes]":
        process = self._process
        if process is not None and process.poll() is None:
            return process
        if process is not None:
            self._kill(process)  # it died idle; nobody's document is to blame
        return self._start()

    def _start(self) -> "subprocess.Popen[bytes]":
        # No preexec_fn: Python then starts the process without running code in a fork of this one,
        # which has threads. The worker sets its own limits.
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            [
                sys.executable,
                "-P",
                "-B",
                "-m",
                "indexer.parsing.worker",
                str(self._memory_mb),
                str(self._timeout_s),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            stderr=subprocess.DEVNULL,
            env=_worker_environment(),
            start_new_session=True,  # Ctrl-C is for the parent to handle
        )
        self._process = process
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)  # type: ignore[union-attr]  # both are pipes
        try:
            ready = _read_frame(process, time.monotonic() + _START_TIMEOUT_S, len(READY))
        except (_TimedOut, _Died) as error:
            self._kill(process)
            raise RuntimeError(
                f"The parser process does not start; try `{sys.executable} -m indexer.parsing.worker 512 60`."
            ) from error
        if ready != READY:
            self._kill(process)
            raise RuntimeError("The parser process speaks another protocol; install the package again.")
        return process

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Let the process end by itself, or kill it."""
        process.stdin.close()  # type: ignore[union-attr]  # it is a pipe
        try:
            process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
        self._kill(process)

    def _kill(self, process: "subprocess.Popen[bytes]") -> None:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            pipe.close()  # type: ignore[union-attr]  # both are pipes
        if self._process is process:
            self._process = None


def _write(process: "subprocess.Popen[bytes]", data: bytes, deadline: float) -> None:
    descriptor = process.stdin.fileno()  # type: ignore[union-attr]  # it is a pipe
    rest = memoryview(data)
    while rest:
        _wait(descriptor, select.POLLOUT, deadline)
        try:
            rest = rest[os.write(descriptor, rest[:_PIPE_BYTES]) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            raise _Died from None


def _read_frame(process: "subprocess.Popen[bytes]", deadline: float, longest: int) -> bytes:
    descriptor = process.stdout.fileno()  # type: ignore[union-attr]  # it is a pipe
    (length,) = LENGTH.unpack(_read(descriptor, LENGTH.size, deadline))
    if length > longest:
        raise _Died  # no document's text is that long: the worker is out of its mind
    return _read(descriptor, length, deadline)


def _read(descriptor: int, length: int, deadline: float) -> bytes:
    payload = bytearray()
    while len(payload) < length:
        _wait(descriptor, select.POLLIN, deadline)
        try:
            piece = os.read(descriptor, min(length - len(payload), _PIPE_BYTES))
        except BlockingIOError:
            continue
        if not piece:
            raise _Died
        payload += piece
    return bytes(payload)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    """Wait until the pipe can be used, or until the deadline."""
    poll = select.poll()
    poll.register(descriptor, event)
    if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise _TimedOut


def _worker_environment() -> dict[str, str]:
    """Return what a worker needs to find its modules, and none of the parent's secrets."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
