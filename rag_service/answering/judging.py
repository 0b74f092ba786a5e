"""What passages are worth before a model answers from them: evidence, best sentences, a reader's answers."""

from collections.abc import Sequence
from dataclasses import dataclass

from corpus.embedding import Embedder
from rag_service.answering.quoting import FACTS, best_sentences
from rag_service.answering.two_readers import Told, hopeless, told_in
from rag_service.retrieval.evidence import THRESHOLD, evidence_score
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import needs_a_sum
from rag_service.retrieval.readings import Read

# Evidence from which a model that can not tell by itself what it lacks is asked, and no small one may refuse.
LIKELIER_THAN_NOT = 0.5


@dataclass(frozen=True, slots=True)
class Judgement:
    """The evidence score, 0 to 1; the sentences that fit best; what a reader takes for the answer in them."""

    evidence: float
    best: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()

    def is_enough(self, query: str, *, reads: bool) -> bool:
        """Tell whether a model is to be asked; `reads`: it is trained to tell what passages lack."""
        if reads and self.told and not needs_a_sum(query):  # a sum is no words that a reader finds
            return not hopeless(self.evidence, self.told)
        return self.evidence >= (THRESHOLD if reads else LIKELIER_THAN_NOT)


def judge(
    question: str, query: str, passages: Sequence[Passage], embedder: Embedder, read: Read | None = None
) -> Judgement:
    """Judge passages that were found for a query.

    A reader reads for the question alone: of a query with the one before it, that one's answer would be
    found too.
    """
    readings = read(question, passages) if read and passages else None
    best = tuple(best_sentences(query, passages, embedder, readings)[:FACTS])
    told = told_in(best, passages, readings) if readings else ()
    return Judgement(evidence_score(query, passages, embedder), best, told)
