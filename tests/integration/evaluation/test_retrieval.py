"""Evaluating search over a retrieval set, through the service's own search."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rag_service.evaluation.beir import RetrievalSet
from rag_service.evaluation.plots import draw_retrieval
from rag_service.evaluation.retrieval import (
    difference,
    evaluate_folder,
    retrieval_json,
    retrieval_report,
    score_rankings,
)
from rag_service.retrieval.passages import Passage
from tests.fakes import FakeEmbedder

DOCUMENTS = {
    "d1": "Orson keeps the generators.",
    "d2": "The café opens at six.",
    "d3": "A ship brings flour.",
}
QUERIES = {"q1": "who keeps the generators", "q2": "when opens the café", "q3": "flour"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three documents, each the answer to one query; the last judgement names a document that is missing."""
    folder = tmp_path / "tiny"
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": key, "title": "", "text": text} for key, text in DOCUMENTS.items()]
    queries = [{"_id": key, "text": text} for key, text in QUERIES.items()]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td2\t1\nq3\td9\t1\n")
    return folder


def test_every_mode_is_scored(folder: Path, tmp_path: Path) -> None:
    """Two of three queries find their document first, the third one's is not there."""
    retrieval_set, scores = evaluate_folder(folder, FakeEmbedder(128), tmp_path / "work")
    assert [each.name for each in scores] == ["dense", "lexical", "hybrid"]
    for each in scores:
        assert each.measures["nDCG@10"].value == pytest.approx(2 / 3)
        assert each.ndcg_by_query == {"q1": 1.0, "q2": 1.0, "q3": 0.0}
    assert "tiny: 3 queries" in retrieval_report(retrieval_set, scores)
    assert json.loads(json.dumps(retrieval_json(retrieval_set, scores)))["queries"] == 3
    assert draw_retrieval(scores, tmp_path / "out" / "retrieval.png", title="tiny")
    assert (tmp_path / "out" / "retrieval.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_embeds_nothing(folder: Path, tmp_path: Path) -> None:
    """The database in the workspace is used again."""
    evaluate_folder(folder, FakeEmbedder(), tmp_path / "work", modes=["lexical"])
    again = FakeEmbedder()
    evaluate_folder(folder, again, tmp_path / "work", modes=["lexical"])
    assert again.embedded_passages == 0


def test_a_broken_off_load_is_made_anew(folder: Path, tmp_path: Path) -> None:
    """Half a set never counts as the set."""

    class Breaking(FakeEmbedder):
        def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
            raise KeyboardInterrupt(len(texts))

    with pytest.raises(KeyboardInterrupt):
        evaluate_folder(folder, Breaking(), tmp_path / "work")
    _, (scores,) = evaluate_folder(folder, FakeEmbedder(), tmp_path / "work", modes=["lexical"])
    assert scores.measures["recall@50"].value == pytest.approx(2 / 3)


def test_differences_are_taken_query_by_query() -> None:
    """Two ways to search that differ on one of two queries."""
    two = RetrievalSet("two", {"q1": "a", "q2": "b"}, {"q1": {"d1": 1}, "q2": {"d2": 1}})
    good = score_rankings("good", two, lambda query: {"a": ["d1"], "b": ["d2"]}[query])
    poor = score_rankings("poor", two, lambda _: ["d1"])
    assert difference(good, poor).value == 0.5


def test_a_reranker_is_scored_beside_the_others(folder: Path, tmp_path: Path) -> None:
    """One that turns the ranking round does not do as well."""

    def backwards(_query: str, passages: Sequence[Passage]) -> list[float]:
        return [-passage.scores.fused for passage in passages]

    _, (hybrid, reranked) = evaluate_folder(
        folder, FakeEmbedder(128), tmp_path / "work", modes=["hybrid"], rerank=backwards
    )
    assert reranked.name == "reranked"
    assert (reranked.measures["nDCG@10"].value or 0) < (hybrid.measures["nDCG@10"].value or 0)
