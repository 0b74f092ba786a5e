"""Makes retrieval sets in BEIR's layout out of reading-comprehension sets.

    .venv/bin/python benchmarks/make_sets.py --data DATA --out SETS

DATA has `reading/` and `retrieval/` as xz-compressed files. Each question is a query, the passage that
answers it the one relevant document. A hash of the question's id puts it into `dev` (for tuning) or
`test` (for reporting).
"""

import argparse
import json
import lzma
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from posttrain.data.reading import split_of
from posttrain.recipes.gpu_run import KEPT_OUT


@dataclass(slots=True)
class MadeSet:
    """Documents, queries and which document answers which query."""

    documents: dict[str, tuple[str, str]] = field(default_factory=dict)  # id: title, text
    queries: dict[str, str] = field(default_factory=dict)
    relevant: dict[str, set[str]] = field(default_factory=dict)

    def add(self, query_id: str, query: str, title: str, text: str) -> None:
        """Add a query and a passage that answers it."""
        document_id = short_hash(f"{title}\n{text}")
        self.documents[document_id] = (title, text)
        self.queries[query_id] = query
        self.relevant.setdefault(query_id, set()).add(document_id)


def short_hash(text: str) -> str:
    """Return an id that depends on the text alone."""
    return sha256(text.encode()).hexdigest()[:12]


def qed(data: Path) -> MadeSet:
    """Real search questions, and paragraphs of Wikipedia that answer them."""
    made = MadeSet()
    for item in lines(data / "reading/qed_train.jsonl.xz"):
        made.add(item["id"], item["question"], item["title"], " ".join(item["sentences"]))
    return made


def squad(data: Path) -> MadeSet:
    """Questions that were written to paragraphs of 18 articles, so many are about the same thing."""
    made = MadeSet()
    with lzma.open(data / "reading/squad2_18_articles.json.xz") as source:
        articles = json.load(source)["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            for question in paragraph["qas"]:
                if not question["is_impossible"]:
                    title = article["title"].replace("_", " ")
                    made.add(question["id"], question["question"], title, paragraph["context"])
    return made


def squad_unread(data: Path) -> MadeSet:
    """The same paragraphs, and only the questions about the articles that the shipped reader never read."""
    every = squad(data)
    kept = {
        query
        for query, found in every.relevant.items()
        if any(every.documents[document][0] in KEPT_OUT for document in found)
    }
    return with_queries(every, kept)


def with_queries(every: MadeSet, kept: Collection[str]) -> MadeSet:
    """Return a set with all of its documents and some of its queries."""
    return MadeSet(
        every.documents,
        {query: text for query, text in every.queries.items() if query in kept},
        {query: found for query, found in every.relevant.items() if query in kept},
    )


def medquad(data: Path) -> MadeSet:
    """Questions on health, and the answers of public institutes; the answers have no titles."""
    made = MadeSet()
    for item in lines(data / "reading/medquad_short.jsonl.xz"):
        made.add(short_hash(item["question"]), item["question"], "", item["answer"])
    return made


def medquad_unread(data: Path) -> MadeSet:
    """The same answers, and only the questions about subjects that were kept from the shipped reader."""
    items = lines(data / "reading/medquad_short.jsonl.xz")
    kept = {short_hash(item["question"]) for item in items if split_of(item["focus"]) == "dev"}
    return with_queries(medquad(data), kept)


def multihop(data: Path) -> MadeSet:
    """Questions on news that need two to four facts; each fact is a document."""
    made = MadeSet()
    with lzma.open(data / "retrieval/multihoprag_1000.json.xz") as source:
        items = json.load(source)
    for item in items:
        for evidence in item["evidence_list"]:
            made.add(str(item["id"]), item["question"], evidence["title"], evidence["fact"])
    return made


SETS: dict[str, Callable[[Path], MadeSet]] = {
    "qed": qed,
    "squad": squad,
    "squad_unread": squad_unread,
    "medquad": medquad,
    "medquad_unread": medquad_unread,
    "multihop": multihop,
}


def lines(path: Path) -> Iterator[Any]:
    """Yield the items of an xz-compressed JSONL file."""
    with lzma.open(path, "rt", encoding="utf-8") as source:
        yield from (json.loads(line) for line in source if line.strip())


def write(made: MadeSet, folder: Path) -> None:
    """Write a set in BEIR's layout."""
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    documents = [{"_id": key, "title": title, "text": text} for key, (title, text) in made.documents.items()]
    queries = [{"_id": key, "text": text} for key, text in made.queries.items()]
    for name, items in (("corpus.jsonl", documents), ("queries.jsonl", queries)):
        (folder / name).write_text("".join(f"{json.dumps(item)}\n" for item in items), encoding="utf-8")
    for split, parity in (("dev", 0), ("test", 1)):
        rows = [
            f"{query}\t{document}\t1\n"
            for query, documents_ in sorted(made.relevant.items())
            if int(short_hash(query), 16) % 2 == parity
            for document in sorted(documents_)
        ]
        header = "query-id\tcorpus-id\tscore\n"
        (folder / "qrels" / f"{split}.tsv").write_text(header + "".join(rows), encoding="utf-8")


def main() -> None:
    """Make the sets that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=sorted(SETS), action="append")
    arguments = parser.parse_args()
    for name in arguments.only or SETS:
        made = SETS[name](arguments.data)
        write(made, arguments.out / name)
        print(f"{name}: {len(made.documents)} documents, {len(made.queries)} queries")


if __name__ == "__main__":
    main()
