"""Programs that are forked from one process which has imported what they need.

A start takes hundredths of a second instead of seconds, and a kill meets the work, not the imports. What
is forked runs the program's own function, with the words, folder, environment and streams of the one who
asks: a test, or a script, for which a command on its PATH stands for the program.

An order is a line of JSON over a socket, with three streams beside it; the answer is two lines, the
process id at once and the exit code at the end (a signal's number below zero).
"""

import gc
import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn, TextIO

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Child:
    """A program that was started."""

    process_id: int
    stdout: TextIO
    _answer: TextIO

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        with suppress(ProcessLookupError):
            os.kill(self.process_id, signal.SIGKILL)

    def wait(self) -> int:
        """Return the exit code; what was not read of its output is thrown away."""
        for _ in self.stdout:
            pass
        self.stdout.close()
        with self._answer:
            return int(self._answer.readline())


@dataclass(frozen=True, slots=True)
class Nursery:
    """The process that has imported everything, as seen from a test."""

    _address: Path

    def start(self, program: str, *words: object, cwd: Path = ROOT) -> Child:
        """Start a program, written `module:function`, and do not wait; its errors go where ours do."""
        reading, writing = os.pipe()
        with Path(os.devnull).open("rb") as nothing:
            answer = _order(self._address, program, words, cwd, (nothing.fileno(), writing, 2))
        os.close(writing)
        return Child(int(answer.readline()), os.fdopen(reading), answer)

    def write_command(self, file: Path, program: str) -> None:
        """Write a command that runs the program for whoever calls it."""
        words = (sys.executable, "-P", "-S", __file__, str(self._address), program)
        file.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
        file.chmod(0o755)


@contextmanager
def nursery(*imports: str) -> Iterator[Nursery]:
    """Start the process, which imports these modules, and end it."""
    with tempfile.TemporaryDirectory(prefix="rag-nursery-") as folder:
        address = Path(folder) / "orders"
        command = [sys.executable, "-W", "ignore", "-m", "tests.nursery", str(address), "--serve", *imports]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:  # type: ignore[call-overload]
            assert process.stdout.readline(), "it ended"
            yield Nursery(address)
            process.stdin.close()


def _order(address: Path, program: str, words: Sequence[object], cwd: Path, streams: Sequence[int]) -> TextIO:
    order = {
        "program": program,
        "words": [str(word) for word in words],
        "cwd": str(cwd),
        "environment": dict(os.environ),
    }
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(address))
        socket.send_fds(connection, [b"\n"], streams)
        connection.sendall(json.dumps(order).encode() + b"\n")
        return connection.makefile()


def _serve(address: str) -> tuple[str, list[str]]:
    """Take orders until our input closes; return in each child, with what it shall run."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        print("ready", flush=True)  # noqa: T201 - the protocol
        while True:
            found, _, _ = select.select([server, sys.stdin], [], [])
            if sys.stdin in found:
                sys.exit()
            connection, _ = server.accept()
            if not os.fork():
                break
            connection.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    order = json.loads(connection.makefile().readline())
    if child := os.fork():
        _tell_of(child, connection, streams)
    connection.close()
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["environment"])
    return order["program"], order["words"]


def _tell_of(child: int, connection: socket.socket, streams: Sequence[int]) -> NoReturn:
    """Answer with the child's id and how it ended; this process does nothing else."""
    for stream in (*streams, 0, 1):
        os.close(stream)
    connection.sendall(f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    with suppress(BrokenPipeError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _main(address: str, program: str, *words: str) -> None:
    if program == "--serve":
        for name in words:
            import_module(name)
        gc.freeze()  # no child's collector goes through what all share
        program, words_of_child = _serve(address)
        module, _, function = program.partition(":")
        getattr(import_module(module), function)(words_of_child)
    else:
        with _order(Path(address), program, words, Path.cwd(), (0, 1, 2)) as answer:
            answer.readline()
            code = int(answer.readline())
        sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    _main(*sys.argv[1:])
