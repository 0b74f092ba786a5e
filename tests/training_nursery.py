"""A program that runs `rag-train` in children, each forked from one process that has imported torch.

A line of standard input holds a command's words as JSON; the child's process id is the first line of its
output, and `ended` with its exit code (a signal's number below zero) comes after the last. Twenty starts
take no longer than one, and a kill meets the work and not the imports.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

ENDED = "ended "


@dataclass(frozen=True, slots=True)
class Nursery:
    """The program, as seen from a test."""

    process: "subprocess.Popen[str]"

    def run(self, words: Sequence[object]) -> Iterator[str]:
        """Start a command and yield its output line by line: its process id first, its end last."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps([str(word) for word in words]), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            yield line
            if line.startswith(ENDED):
                return


@contextmanager
def nursery() -> Iterator[Nursery]:
    """Start the program, and end it."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.training_nursery"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process)
        assert process.stdin is not None
        process.stdin.close()


def _serve() -> None:
    import peft  # noqa: F401, PLC0415 - takes seconds, and a test that only wants `nursery` has no use of it

    import posttrain.run_sft  # noqa: F401, PLC0415 - same
    from posttrain.cli import main  # noqa: PLC0415 - same

    for line in sys.stdin:
        child = os.fork()
        if not child:
            print(os.getpid(), flush=True)  # noqa: T201 - the protocol
            main(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(f"\n{ENDED}{os.waitstatus_to_exitcode(status)}", flush=True)  # noqa: T201 - same


if __name__ == "__main__":
    _serve()
