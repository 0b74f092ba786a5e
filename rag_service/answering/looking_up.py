"""Facts that are looked up on the way to an answer, each with a question of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from corpus.embedding import Embedder
from rag_service.answering.judging import judge
from rag_service.answering.two_readers import is_off, likeliest, speaks_of_other_years
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readings import Readers

_SURE = 0.5  # a margin from which what a reader finds is a fact to go on with


@dataclass(frozen=True, slots=True)
class Fact:
    """What a reader finds: the words, their sentence, and its passage; how likely that answers."""

    text: str
    sentence: str
    passage: Passage
    evidence: float

    @property
    def place(self) -> tuple[str, str]:
        """Its document's id and its sentence."""
        return self.passage.document_id, self.sentence


LookUp = Callable[[str], Fact | None]


@dataclass(frozen=True, slots=True)
class LookingUp:
    """Searches for a question and lets the readers read what is found."""

    search: Callable[[str], Sequence[Passage]]
    embedder: Embedder
    readers: Readers

    def __call__(self, question: str) -> Fact | None:
        """Return what answers the question, if the readers are sure of it."""
        passages = self.search(question)
        alone = replace(self.readers, together=None)
        judgement = judge(question, question, passages, self.embedder, alone)
        if not judgement.told:
            return None
        told = likeliest("", judgement.told)
        passage = next(each for each in passages if each.chunk_id == told.chunk_id)
        if told.margin < _SURE or is_off(told.text, question):
            return None
        if speaks_of_other_years(judgement.asked, [passage]):
            return None
        return Fact(told.text, told.sentence, passage, judgement.evidence)
