"""Search over up to a million vectors: time, recall, memory and building, by number of vectors.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/scale.py --workspace WORK [--counts 10000 1000000]

The vectors are synthetic, 384 dimensions, and clustered: sizes of clusters fall off as 1/rank, and the
vectors of one spread in a few directions of its own more than in the others. Questions lie at a cosine of
0.7 to a vector that is there, in any direction. Recall is against all exact scores, on questions that the
build has not seen. Each count is searched in a process of its own, so that its memory is what a service
would need. WORK keeps vectors, bases and rows; growth.png there is the plot of all rows.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from corpus.vector_index.faiss_index import FaissVectorIndex
from corpus.vector_index.generation_files import load_base, write_base

DIMENSION = 384
CLUSTERS = 5000
OWN_DIRECTIONS = 24
QUESTIONS = 500
FILTER = 0.01
FILTERED = 100  # questions
DEPTH = 10
LIMITS = {"p50_ms": 10.0, "filtered_p50_ms": 15.0, "recall": 0.97, "memory_mb": 1200.0, "build_s": 1200.0}
ROWS_AT_ONCE = 32_768
Vectors = NDArray[np.float32]
Ids = NDArray[np.int64]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Row:
    """What one count gave.

    Times are by the clock and, where other work runs on the machine, more telling: CPU time of the one
    thread. Memory is all of the process, files that it has mapped too, and its own alone.
    """

    count: int
    index_type: str
    cells: int
    probes: int
    measured_recall: float
    p50_ms: float
    p50_cpu_ms: float
    p95_ms: float
    p95_cpu_ms: float
    filtered_p50_ms: float
    filtered_p50_cpu_ms: float
    recall: float
    memory_mb: float
    anonymous_mb: float
    build_s: float
    build_cpu_s: float


@dataclass(frozen=True, slots=True)
class Seconds:
    """A duration, by the clock and of this thread's CPU time."""

    clock: float
    cpu: float


class Times:
    """Durations of the same thing, done again and again."""

    def __init__(self) -> None:
        self._clock: list[float] = []
        self._cpu: list[float] = []

    def of(self, run: Callable[[], Result]) -> Result:
        """Do it once more; return what it returns."""
        clock, cpu = time.perf_counter(), time.thread_time()
        result = run()
        self._cpu.append(time.thread_time() - cpu)
        self._clock.append(time.perf_counter() - clock)
        return result

    def quantile(self, share: float) -> Seconds:
        """Return a quantile of each."""
        return Seconds(float(np.quantile(self._clock, share)), float(np.quantile(self._cpu, share)))


def main() -> None:
    """Build, search and print one count after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[10_000, 30_000, 100_000, 300_000, 1_000_000]
    )
    parser.add_argument(
        "--search", type=Path, help="search this base and print JSON; the program calls itself"
    )
    arguments = parser.parse_args()
    if arguments.search:
        print(json.dumps(asdict(search(arguments.search))))
        return
    print("| vectors | type | cells read | p50 ms (CPU) | p95 ms (CPU) | with 1% filter | recall@10", end="")
    print(" | MB (own) | build s (CPU) |")
    print("|---|---|---|---|---|---|---|---|---|")
    for count in arguments.counts:
        folder = arguments.workspace / str(count)
        prepare(folder, count)
        (folder / "row.json").write_text(run_search(folder))
        print(line(Row(**json.loads((folder / "row.json").read_text()))), flush=True)
    print("wanted at 1,000,000:", ", ".join(f"{name} {value:g}" for name, value in LIMITS.items()))
    rows = [Row(**json.loads(file.read_text())) for file in arguments.workspace.glob("*/row.json")]
    plot(sorted(rows, key=lambda row: row.count), arguments.workspace / "growth.png")


def line(row: Row) -> str:
    """Return a row of the table."""
    read = f"{row.probes} of {row.cells}" if row.cells else ""
    return (
        f"| {row.count:,} | {row.index_type} | {read} | {row.p50_ms:.2f} ({row.p50_cpu_ms:.2f}) "
        f"| {row.p95_ms:.2f} ({row.p95_cpu_ms:.2f}) "
        f"| {row.filtered_p50_ms:.2f} ({row.filtered_p50_cpu_ms:.2f}) "
        f"| {row.recall:.3f} | {row.memory_mb:.0f} ({row.anonymous_mb:.0f}) "
        f"| {row.build_s:.0f} ({row.build_cpu_s:.0f}) |"
    )


def prepare(folder: Path, count: int) -> None:
    """Make vectors, questions, the exact answers to these and a base, if they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "best.npy").exists():
        vectors = make_vectors(folder / "vectors.npy", count)
        questions = make_questions(vectors)
        np.save(folder / "questions.npy", questions)
        np.save(folder / "best.npy", exact_best(vectors, questions))
    if not (folder / "built.json").exists():
        vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        ids, times = np.arange(count), Times()
        names = {"embedder": "synthetic@1", "chunking": "-"}
        times.of(partial(write_base, folder / "base", ids, vectors, **names, change_number=1))
        (folder / "built.json").write_text(json.dumps(asdict(times.quantile(1.0))))


def make_vectors(file: Path, count: int) -> Vectors:
    """Write clustered unit vectors."""
    random = np.random.default_rng(0)
    centres = unit(random.normal(size=(CLUSTERS, DIMENSION)) + random.normal(size=DIMENSION))
    shares = 1 / np.arange(1, CLUSTERS + 1)
    vectors = open_memmap(file, mode="w+", dtype=np.float32, shape=(count, DIMENSION))
    directions = random.normal(size=(CLUSTERS, OWN_DIRECTIONS, DIMENSION)).astype(np.float32)
    directions *= 0.5 / DIMENSION**0.5
    for start in range(0, count, 4096):
        size = min(4096, count - start)
        of = random.choice(CLUSTERS, size, p=shares / shares.sum())
        own = np.einsum(
            "nk,nkd->nd", random.normal(size=(size, OWN_DIRECTIONS)).astype(np.float32), directions[of]
        )
        rest = random.normal(size=(size, DIMENSION)) * 0.5 / DIMENSION**0.5
        vectors[start : start + size] = unit(centres[of] + own / OWN_DIRECTIONS**0.5 * 2 + rest)
    vectors.flush()
    return vectors


def run_search(folder: Path) -> str:
    """Search in a fresh process."""
    command = [sys.executable, __file__, "--workspace", str(folder), "--search", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - this file


def search(folder: Path) -> Row:
    """Time single questions, without and with a filter, then compare with all exact scores."""
    base = load_base(folder / "base")
    index = FaissVectorIndex(DIMENSION, base)
    questions = np.load(folder / "questions.npy")
    random = np.random.default_rng(5)
    kept = np.sort(random.choice(base.manifest.count, int(base.manifest.count * FILTER), replace=False))
    index.search(questions[:1], DEPTH)
    plain, filtered = Times(), Times()
    found = [plain.of(partial(index.search, each[None], DEPTH))[1][0] for each in questions]
    for each in questions[:FILTERED]:
        filtered.of(partial(index.search, each[None], DEPTH, allowed=kept))
    total, anonymous = memory_mb()
    measured = base.manifest.measured
    built = json.loads((folder / "built.json").read_text())
    return Row(
        count=base.manifest.count,
        index_type=base.manifest.index_type,
        cells=base.index.nlist if measured else 0,
        probes=measured.probes if measured else 0,
        measured_recall=measured.recall if measured else 1.0,
        p50_ms=plain.quantile(0.5).clock * 1e3,
        p50_cpu_ms=plain.quantile(0.5).cpu * 1e3,
        p95_ms=plain.quantile(0.95).clock * 1e3,
        p95_cpu_ms=plain.quantile(0.95).cpu * 1e3,
        filtered_p50_ms=filtered.quantile(0.5).clock * 1e3,
        filtered_p50_cpu_ms=filtered.quantile(0.5).cpu * 1e3,
        recall=recall(np.load(folder / "best.npy"), found),
        memory_mb=total,
        anonymous_mb=anonymous,
        build_s=built["clock"],
        build_cpu_s=built["cpu"],
    )


def make_questions(vectors: Vectors) -> Vectors:
    """Return questions near stored vectors."""
    random = np.random.default_rng(9)
    near = np.array(vectors[np.sort(random.choice(len(vectors), QUESTIONS, replace=False))])
    return unit(0.7 * near + (1 - 0.7**2) ** 0.5 * unit(random.normal(size=near.shape)))


def exact_best(vectors: Vectors, questions: Vectors) -> Ids:
    """Return the positions of each question's best vectors, shape (questions, DEPTH), in any order."""
    scores, best = np.empty((len(questions), 0), np.float32), np.empty((len(questions), 0), np.int64)
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        near = questions @ vectors[start : start + ROWS_AT_ONCE].T
        scores = np.concatenate([scores, near], axis=1)
        positions = np.arange(start, start + near.shape[1])
        best = np.concatenate([best, np.broadcast_to(positions, near.shape)], axis=1)
        order = np.argpartition(-scores, DEPTH, axis=1)[:, :DEPTH]
        scores, best = np.take_along_axis(scores, order, axis=1), np.take_along_axis(best, order, axis=1)
    return best


def recall(best: Ids, found: Sequence[Ids]) -> float:
    """Return the share of the exact 10 best that was found."""
    return float(np.mean([len(np.intersect1d(a, b)) / DEPTH for a, b in zip(best, found, strict=True)]))


def memory_mb() -> tuple[float, float]:
    """Return this process's resident memory, and the part of it that is no mapped file."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024, int(lines["RssAnon"].split()[0]) / 1024


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """Return the rows at length one."""
    rows: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return rows


def plot(rows: Sequence[Row], file: Path) -> None:
    """Draw time and memory over the number of vectors."""
    import matplotlib as mpl  # noqa: PLC0415 - only for this

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the backend was chosen

    figure, left = plt.subplots(figsize=(7, 4))
    counts = [row.count for row in rows]
    left.plot(counts, [row.p50_cpu_ms for row in rows], "o-", label="p50, ms")
    left.plot(counts, [row.filtered_p50_cpu_ms for row in rows], "s--", label="p50 with a 1% filter, ms")
    left.set(xscale="log", xlabel="vectors", ylabel="ms of CPU a search")
    right = left.twinx()
    right.plot(counts, [row.memory_mb for row in rows], "^:", color="grey", label="resident, MB")
    right.set_ylabel("MB")
    figure.tight_layout()
    figure.legend(loc="upper left", bbox_to_anchor=(0.12, 0.95))
    figure.savefig(file, dpi=80)


if __name__ == "__main__":
    main()
