"""Reading retrieval sets."""

import lzma
from pathlib import Path

import pytest

from corpus.errors import InvalidRequest
from rag_service.evaluation.beir import SetDocument, read_documents, read_retrieval_set

CORPUS = '{"_id": "d1", "title": "T", "text": "one"}\n{"_id": "d2", "text": "two"}\n'
QUERIES = '{"_id": "q1", "text": "first?"}\n{"_id": "q2", "text": "second?"}\n'
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A set of two documents, one of its files compressed."""
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl.xz").write_bytes(lzma.compress(CORPUS.encode()))
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    (tmp_path / "qrels/test.tsv").write_text(QRELS)
    return tmp_path


def test_a_set_has_the_judged_queries_of_its_split(folder: Path) -> None:
    """q2 has no judgement; compressed files are read like others."""
    found = read_retrieval_set(folder)
    assert found.queries == {"q1": "first?"}
    assert found.judgements == {"q1": {"d1": 1, "d2": 0}}
    assert list(read_documents(folder)) == [SetDocument("d1", "T", "one"), SetDocument("d2", "", "two")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("qrels/test.tsv", None, r"has no qrels/test.tsv \(nor"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\n", "line 2: needs query, document, grade"),
        ("qrels/test.tsv", "query-id\tcorpus-id\tscore\nq9\td1\t1\n", "'q9' has judgements but no text"),
        ("queries.jsonl", "{", "line 1: is no JSON"),
        ("queries.jsonl", "[]", "line 1: must be an object"),
        ("queries.jsonl", '{"_id": 7, "text": "x"}', "needs a text in '_id'"),
    ],
)
def test_a_broken_set_is_refused_with_its_place(
    folder: Path, name: str, content: str | None, words: str
) -> None:
    """The message names the file and the line."""
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    with pytest.raises(InvalidRequest, match=words):
        read_retrieval_set(folder)
