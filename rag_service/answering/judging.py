"""What passages are worth before a model answers from them: evidence, best sentences, a reader's answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from corpus.embedding import Embedder
from rag_service.answering.quoting import FACTS, best_sentences
from rag_service.answering.reading_together import Joined, may_tell_together, told_together
from rag_service.answering.two_readers import Told, hopeless, told_in
from rag_service.answering.verification import ground_of, unknown_names
from rag_service.answering.whole_sentences import stated_in
from rag_service.retrieval.evidence import THRESHOLD, evidence_score
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import needs_a_sum, without_greeting
from rag_service.retrieval.readings import Readers
from rag_service.retrieval.terms import STOPWORDS, terms_of
from rag_service.retrieval.year_spans import in_told_years

# Evidence from which a model that can not tell by itself what it lacks is asked, and no small one may refuse.
LIKELIER_THAN_NOT = 0.5
_LONG, _ALIKE = 5, 0.8  # letters of a name that may be misspelt; how much it must be like another word
_SHORTENED = re.compile(r"\b[A-Z]{2,5}\b")  # CEO, VAT: the passages may have the words in full


@dataclass(frozen=True, slots=True)
class Judgement:
    """The evidence score, 0 to 1; the sentences that fit best; what a reader takes for the answer in them.

    `asked` is the query as it was judged, with a span of years where the passages tell its year only so.
    """

    evidence: float
    best: tuple[str, ...] = ()
    told: tuple[Told, ...] = ()
    joined: Joined | None = None  # what two passages tell together, where none does by itself
    stated: str | None = None  # the sentence that says all of what is asked, where a few words do not do
    strange: bool = False  # the question names what no passage does
    asked: str = ""

    @property
    def excerpted(self) -> tuple[str, ...]:
        """The sentences around which a small model reads."""
        return self.joined.first(self.best) if self.joined else self.best

    def is_enough(self, query: str, *, reads: bool) -> bool:
        """Tell whether a model is to be asked; `reads`: it is trained to tell what passages lack."""
        if self.joined or (reads and self.stated):
            return True
        if self.strange:
            return False
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
    found too. Where it finds none in the best sentences, passages may be read together. No sentence is fit
    that is not about the question's names; where no passage has one of them, none answers.
    """
    question, query = (in_told_years(without_greeting(each), passages) for each in (question, query))
    if readers is None or not passages:
        best = best_sentences(query, passages, embedder)
        return Judgement(evidence_score(query, passages, embedder), tuple(best[:FACTS]), asked=query)
    readings = readers.alone(question, passages)
    best = best_sentences(query, passages, embedder, readings)
    told = told_in(best, passages, readings)
    evidence, joined = evidence_score(query, passages, embedder), None
    if readers.together and may_tell_together(question, told, evidence):
        joined = told_together(question, passages, readings, best, readers.together)
    stated = stated_in(best, query, passages)
    strange = not best and _names_what_is_not_there(query, passages)
    return Judgement(evidence, tuple(best[:FACTS]), told, joined, stated, strange, query)


def _names_what_is_not_there(query: str, passages: Sequence[Passage]) -> bool:
    """Not in German, say, where every noun has a capital: a third of an English question are small words.

    Nor where small words have one too: "What Is The Deposit?" A longer name may be misspelt.
    """
    asked = terms_of(query)
    if len(asked.words & STOPWORDS) * 3 <= len(asked.words) or query.split() == query.title().split():
        return False
    shortened = {each.lower() for each in _SHORTENED.findall(query)}
    ground = ground_of(passages)
    unknown = unknown_names(asked, ground) - shortened
    return any(len(each) < _LONG or not get_close_matches(each, ground.words, 1, _ALIKE) for each in unknown)
