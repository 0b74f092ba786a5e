"""Questions that a whole sentence answers: for yes or no, and how something is done.

No reader finds a yes or a no, so that none finds an answer says nothing there; and a small model says yes to
"May the tenant sublet?" over "The tenant must not sublet". How something is done takes more than the few
words that both mark. A sentence that has all that the question asks about tells either.
"""

from collections.abc import Sequence

from rag_service.answering.citation_markers import take_markers
from rag_service.answering.two_readers import speaks_of_other_years
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.question_types import asks_how_to, asks_whether
from rag_service.retrieval.terms import denials_in, terms_of

_SENTENCES = 3  # in which it is looked for
_FEWEST = 2  # content words of the question that the sentence itself has, and half of them at least
_DENIES = {"yes": False, "no": True}


def stated_in(best: Sequence[str], question: str, passages: Sequence[Passage]) -> str | None:
    """Return the first of the best sentences that by itself answers a question of these kinds; or None.

    It has all content words of the question, some of which may stand in the title and the headings.
    """
    if not (asks_whether(question) or asks_how_to(question)):
        return None
    places = (
        (sentence, each) for sentence in best[:_SENTENCES] for each in passages if sentence in each.text
    )
    return next((sentence for sentence, each in places if _says_all(sentence, each, question)), None)


def _says_all(sentence: str, passage: Passage, question: str) -> bool:
    asked = frozenset(terms_of(question).stems)
    own = asked.intersection(terms_of(sentence).stems)
    return (
        len(own) >= max(_FEWEST, len(asked) / 2)
        and asked <= own.union(terms_of(passage.full_title).stems)
        and not sentence.startswith("#")
        and not sentence.endswith("?")
        and not (asks_how_to(question) and denials_in(sentence) - denials_in(question))
        and not speaks_of_other_years(question, [passage])
    )


def rather_whole(settled: str | None, stated: str | None, question: str) -> str | None:
    """Return what was settled, or in its place the sentence, as one line, where that is the better answer."""
    if stated and (settled is None or says_more(stated, settled, question)):
        return " ".join(stated.split())
    return settled


def says_more(sentence: str, answer: str, question: str) -> bool:
    """Tell whether the sentence is the better answer.

    A yes or no may contradict it: it denies what the question does not, or nothing. How something is done is
    not told by a few of its words.
    """
    words = take_markers(answer)[0].strip(" .").lower()
    if asks_how_to(question):
        return words in sentence.lower()
    denies = _DENIES.get(words)
    return denies is not None and denies != bool(denials_in(sentence) - denials_in(question))
