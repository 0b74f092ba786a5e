"""How long a person waits: `rag` from its help to the answers of the demo, in a fresh data folder.

    .venv/bin/python benchmarks/command_line.py

Each row is one program run from start to end, models loaded anew, measured by the operating system.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
RAG = Path(sys.executable).with_name("rag")


@dataclass(frozen=True, slots=True)
class Run:
    """One program: seconds from start to end, and the most memory that it held, in MiB."""

    what: str
    seconds: float
    memory_mb: float


def measure(what: str, words: Sequence[str], *, data_dir: Path, questions: Path | None = None) -> Run:
    """Run `rag` once."""
    environment = {**os.environ, "RAG_DATA_DIR": str(data_dir), "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    with (questions or Path(os.devnull)).open() as source:
        process = subprocess.Popen(  # noqa: S603 - our own program
            [RAG, *words], env=environment, stdin=source, stdout=subprocess.DEVNULL, cwd=data_dir
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    return Run(what, time.perf_counter() - began, _mebibytes(usage))


def _mebibytes(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def main() -> None:
    """Print the table."""
    documents = str(EXAMPLES / "corpus")
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        runs = [
            measure("rag --help", ["--help"], data_dir=data),
            measure("rag migrate, fresh", ["migrate"], data_dir=data),
            measure("rag ingest, 16 documents", ["ingest", documents], data_dir=data),
            measure("rag ingest, nothing new", ["ingest", documents], data_dir=data),
            measure("rag search", ["search", "Who is Orson Kovacs?"], data_dir=data),
            measure("rag ask, first (converts the model)", ["ask", "Who is Orson Kovacs?"], data_dir=data),
            measure("rag ask", ["ask", "Who is Orson Kovacs?"], data_dir=data),
            measure(
                "rag ask -, three questions", ["ask", "-"], data_dir=data, questions=EXAMPLES / "demo.txt"
            ),
        ]
    print("| run | seconds | peak memory, MiB |\n|---|---|---|")
    for run in runs:
        print(f"| {run.what} | {run.seconds:.1f} | {run.memory_mb:.0f} |")


if __name__ == "__main__":
    main()
