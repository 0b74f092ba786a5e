"""What passages are worth before a model answers from them: evidence, best sentences, a reader's answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.embedding import Embedder
from rag_service.answering.quoting import FACTS, best_sentences
from rag_service.answering.reading_together import Joined, may_tell_together, told_together
from rag_service.answering.two_readers import Told, hopeless, told_in
from rag_service.retrieval.evidence import THRESHOLD, evidence_score
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import needs_a_sum
from rag_service.retrieval.readings import Readers
from rag_service.retrieval.year_spans import in_told_years

# Evidence from which a model that can not tell by itself what it lacks is asked, and no small one may refuse.
LIKELIER_THAN_NOT = 0.5


@dataclass(frozen=True, slots=True)
class Judgement:
    """The evidence score, 0 to 1; the sentences that fit best; what a reader takes for the answer in them.

    `asked` is the query as it was judged, with a span of years where the passages tell its year only so.
    """

    evidence: float
    best: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()
    joined: Joined | None = None  # what two passages tell together, where none does by itself
    asked: str = ""

    @property
    def excerpted(self) -> tuple[str, ...]:
        """The sentences around which a small model reads."""
        return self.joined.first(self.best) if self.joined else self.best

    def is_enough(self, query: str, *, reads: bool) -> bool:
        """Tell whether a model is to be asked; `reads`: it is trained to tell what passages lack."""
        if self.joined:
            return True
        if reads and self.told and not needs_a_sum(query):  # a sum is no words that a reader finds
            return not hopeless(self.evidence, self.told)
        return self.evidence >= (THRESHOLD if reads else LIKELIER_THAN_NOT)


def judge(
    question: str,
    query: str,
    passages: Sequence[Passage],
    embedder: Embedder,
    readers: Readers | None = None,
) -> Judgement:
    """Judge passages that were found for a query.

    A reader reads for the question alone: of a query with the one before it, that one's answer would be
    found too. Where it finds none in the best sentences, passages may be read together.
    """
    question, query = in_told_years(question, passages), in_told_years(query, passages)
    if readers is None or not passages:
        best = best_sentences(query, passages, embedder)
        return Judgement(evidence_score(query, passages, embedder), tuple(best[:FACTS]), asked=query)
    readings = readers.alone(question, passages)
    best = best_sentences(query, passages, embedder, readings)
    told = told_in(best, passages, readings)
    evidence, joined = evidence_score(query, passages, embedder), None
    if readers.together and may_tell_together(question, told, evidence):
        joined = told_together(question, passages, readings, best, readers.together)
    return Judgement(evidence, tuple(best[:FACTS]), told, joined, query)
