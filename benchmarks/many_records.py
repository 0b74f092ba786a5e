"""`rag ingest` of many small records: broken off by Ctrl-C half-way, run again; memory and what was redone.

    .venv/bin/python benchmarks/many_records.py [--records 20000]

Runs the installed `rag` with the shipped embedder in a fresh data folder.
"""

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

WORDS = ("amber", "birch", "cobalt", "delta", "ember", "fjord", "garnet", "harbour", "iris", "juniper")


def write_records(path: Path, count: int) -> None:
    """Write texts of one or two sentences, each with its own external id."""
    choice = random.Random(count)  # noqa: S311 - words, no secrets
    with path.open("w") as file:
        for number in range(count):
            text = f"Entry {number}: " + " ".join(choice.choices(WORDS, k=choice.randint(8, 30))) + "."
            file.write(json.dumps({"text": text, "external_id": f"record-{number}"}) + "\n")


class Run:
    """One `rag ingest`; its memory is watched while it runs."""

    def __init__(self, folder: Path) -> None:
        self.samples: list[tuple[int, float]] = []  # ready documents, MiB of the process
        self._folder = folder
        command = [Path(sys.executable).parent / "rag", "ingest", "records.jsonl", "--json"]
        self.began = time.perf_counter()
        self.process = subprocess.Popen(  # noqa: S603 - our own program
            command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self._lines.append(line)
            done = json.loads(line).get("counts", {}).get("done", 0)
            with suppress(FileNotFoundError, ProcessLookupError, LookupError):  # it may have ended just now
                self.samples.append((done, resident_mb(self.process.pid)))

    @property
    def done(self) -> int:
        """How many documents this run has read, by its own account."""
        return self.samples[-1][0] if self.samples else 0

    def end(self) -> tuple[int, float]:
        """Wait; return the exit code and the seconds that it took."""
        code = self.process.wait()
        self._reader.join()
        return code, time.perf_counter() - self.began

    @property
    def last(self) -> str:
        """Its last line."""
        return self._lines[-1] if self._lines else ""


def resident_mb(pid: int) -> float:
    """Return a process's memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


def counted(folder: Path) -> tuple[int, int, int]:
    """Return ready documents, chunks, and the highest chunk number that was ever given."""
    with closing(sqlite3.connect(folder / "rag-data" / "rag.sqlite3")) as database:
        (ready,) = database.execute("SELECT count(*) FROM documents WHERE status = 'ready'").fetchone()
        chunks, highest = database.execute("SELECT count(*), max(id) FROM chunks").fetchone()
    return ready, chunks, highest


def main() -> None:
    """Print what happened."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--records", type=int, default=20_000)
    records = arguments.parse_args().records
    # In the background a shell ignores Ctrl-C, and the programs that are started from here would as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_records(folder / "records.jsonl", records)
        first = Run(folder)
        while first.done < records // 2 and first.process.poll() is None:
            time.sleep(0.2)
        os.kill(first.process.pid, signal.SIGINT)
        code, seconds = first.end()
        ready, _, _ = counted(folder)
        print(f"broken off: exit code {code} after {seconds:.0f} s, {ready} of {records} ready", flush=True)
        second = Run(folder)
        code, seconds = second.end()
        print(f"run again: exit code {code} after {seconds:.0f} s: {second.last.strip()[:300]}")
        ready, chunks, highest = counted(folder)
        print(f"ready {ready}, chunks {chunks}, made once more than needed {highest - chunks}")
        for run in (first, second):
            reading = [megabytes for done, megabytes in run.samples if done]
            if reading:
                fifth = max(1, len(reading) // 5)
                print(
                    f"memory while reading: first fifth {max(reading[:fifth]):.0f} MiB, "
                    f"last fifth {max(reading[-fifth:]):.0f} MiB"
                )


if __name__ == "__main__":
    main()
