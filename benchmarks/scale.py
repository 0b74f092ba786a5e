"""Search over up to a million vectors: time, recall, memory and building, by number of vectors.

    .venv/bin/python benchmarks/scale.py --workspace WORK [--counts 10000 100000 1000000] [--plot FILE]

The vectors are synthetic, 384 dimensions, and clustered: sizes of clusters fall off as 1/rank, and the
vectors of one spread in a few directions of its own more than in the others. Questions lie at a cosine of
0.7 to a vector that is there. Recall is against all exact scores, on questions that the build has not seen.
Each count is searched in a process of its own, so that its memory is what a service would need.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

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
DEPTH = 10
LIMITS = {"p50_ms": 10.0, "filtered_p50_ms": 15.0, "recall": 0.97, "memory_mb": 1200.0, "build_s": 1200.0}
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Row:
    """What one count gave; times in ms, memory in MB: all of the process, files that it has mapped too."""

    count: int
    index_type: str
    probes: int
    p50_ms: float
    p95_ms: float
    filtered_p50_ms: float
    recall: float
    memory_mb: float
    anonymous_mb: float


def main() -> None:
    """Build, search and print one count after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--plot", type=Path)
    parser.add_argument(
        "--search", type=Path, help="search this base and print JSON; the program calls itself"
    )
    arguments = parser.parse_args()
    if arguments.search:
        print(json.dumps(asdict(search(arguments.search))))
        return
    rows = []
    print("count      type probes  p50 ms  p95 ms  1% filter p50 ms  recall@10  RSS MB (own)  build s")
    for count in arguments.counts:
        folder = arguments.workspace / str(count)
        seconds = build(folder, count)
        row = Row(**json.loads(run_search(folder)))
        rows.append(row)
        print(
            f"{row.count:<10} {row.index_type:4} {row.probes:6} {row.p50_ms:7.2f} {row.p95_ms:7.2f} "
            f"{row.filtered_p50_ms:17.2f} {row.recall:10.3f} {row.memory_mb:7.0f} ({row.anonymous_mb:.0f}) "
            f"{seconds:8.0f}",
            flush=True,
        )
    print("limits at 1,000,000:", ", ".join(f"{name} {value:g}" for name, value in LIMITS.items()))
    if arguments.plot:
        plot(rows, arguments.plot)


def build(folder: Path, count: int) -> float:
    """Make vectors and a base over them, if they are not there; return the seconds that the base took."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "seconds").exists():
        vectors = make_vectors(folder / "vectors.npy", count)
        start = time.perf_counter()
        write_base(
            folder / "base", np.arange(count), vectors, embedder="synthetic@1", chunking="-", change_number=1
        )
        (folder / "seconds").write_text(str(time.perf_counter() - start))
    return float((folder / "seconds").read_text())


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
    questions = make_questions(folder)
    random = np.random.default_rng(5)
    kept = np.sort(random.choice(base.manifest.count, int(base.manifest.count * FILTER), replace=False))
    index.search(questions[:1], DEPTH)
    plain, filtered, found = [], [], []
    for question in questions:
        start = time.perf_counter()
        found.append(index.search(question[None], DEPTH)[1][0])
        plain.append(time.perf_counter() - start)
    for question in questions[:100]:
        start = time.perf_counter()
        index.search(question[None], DEPTH, allowed=kept)
        filtered.append(time.perf_counter() - start)
    total, anonymous = memory_mb()
    measured = base.manifest.measured
    return Row(
        count=base.manifest.count,
        index_type=base.manifest.index_type,
        probes=measured.probes if measured else 0,
        p50_ms=median(plain) * 1e3,
        p95_ms=float(np.quantile(plain, 0.95)) * 1e3,
        filtered_p50_ms=median(filtered) * 1e3,
        recall=recall(folder, questions, found),
        memory_mb=total,
        anonymous_mb=anonymous,
    )


def make_questions(folder: Path) -> Vectors:
    """Return questions near stored vectors."""
    random = np.random.default_rng(9)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    near = np.array(vectors[np.sort(random.choice(len(vectors), QUESTIONS, replace=False))])
    return unit(0.7 * near + (1 - 0.7**2) ** 0.5 * unit(random.normal(size=near.shape)))


def recall(folder: Path, questions: Vectors, found: Sequence[NDArray[np.int64]]) -> float:
    """Return the share of the exact 10 best that was found."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    scores = np.concatenate(
        [questions @ vectors[start : start + 65536].T for start in range(0, len(vectors), 65536)], axis=1
    )
    best = np.argpartition(-scores, DEPTH, axis=1)[:, :DEPTH]
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
    left.plot(counts, [row.p50_ms for row in rows], "o-", label="p50, ms")
    left.plot(counts, [row.filtered_p50_ms for row in rows], "s--", label="p50 with a 1% filter, ms")
    left.set(xscale="log", xlabel="vectors", ylabel="ms a search")
    right = left.twinx()
    right.plot(counts, [row.memory_mb for row in rows], "^:", color="grey", label="resident, MB")
    right.set_ylabel("MB")
    figure.legend(loc="upper left")
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
