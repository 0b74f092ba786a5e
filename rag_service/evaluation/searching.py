"""The service's own search over its own documents as what an evaluation judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag_service.evaluation.beir import RetrievalSet
from rag_service.evaluation.gold_documents import GoldDocument
from rag_service.evaluation.retrieval import MODES, RankingScores, best_passages, score_rankings
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.search import Mode, Retriever


@dataclass(frozen=True, slots=True)
class SearchQuestion:
    """A question with the names of the documents that answer it; `gold` are those of them that exist."""

    text: str
    documents: tuple[str, ...]
    gold: Mapping[str, GoldDocument]

    @property
    def gold_ids(self) -> frozenset[str]:
        """The ids of the documents; one that does not exist goes by its name, and is never found."""
        return frozenset(self.gold[name].id if name in self.gold else name for name in self.documents)


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document in a ranking."""

    document_id: str
    external_id: str | None
    document_title: str


Rankings = Mapping[Mode, tuple[FoundDocument, ...]]


def search_every_way(retriever: Retriever, question: SearchQuestion, *, collection: str) -> Rankings:
    """Return the documents that each way to search finds, best first.

    Raises:
        CollectionNotFound, EmbedderMismatch: as `Retriever.search`.
    """
    return {
        mode: tuple(
            _found(each) for each in best_passages(retriever, question.text, collection=collection, mode=mode)
        )
        for mode in MODES
    }


def score_searches(
    questions: Sequence[SearchQuestion], rankings: Sequence[Rankings]
) -> tuple[RankingScores, ...]:
    """Score the rankings of every question, each way to search by itself."""
    judged = judged_set("questions", questions)
    by_text = {question.text: ranking for question, ranking in zip(questions, rankings, strict=True)}

    def score_way(mode: Mode) -> RankingScores:
        return score_rankings(mode, judged, lambda text: [each.document_id for each in by_text[text][mode]])

    return tuple(score_way(mode) for mode in MODES)


def judged_set(name: str, questions: Sequence[SearchQuestion]) -> RetrievalSet:
    """Return the questions with the documents that answer them, as reports of any set take them."""
    return RetrievalSet(
        name,
        {str(number): question.text for number, question in enumerate(questions)},
        {str(number): dict.fromkeys(question.gold_ids, 1) for number, question in enumerate(questions)},
    )


def first_rank(question: SearchQuestion, ranking: Sequence[FoundDocument]) -> int | None:
    """Return the rank, from 1, of the first document that answers the question; None: it has none."""
    ranks = (rank for rank, each in enumerate(ranking, start=1) if each.document_id in question.gold_ids)
    return next(ranks, None)


def _found(passage: Passage) -> FoundDocument:
    return FoundDocument(passage.document_id, passage.external_id, passage.document_title)
