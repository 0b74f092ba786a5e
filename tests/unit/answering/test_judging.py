"""Whether passages are worth asking a model about."""

from collections.abc import Sequence

import numpy as np

from rag_service.answering.judging import LIKELIER_THAN_NOT, Judgement, judge
from rag_service.answering.two_readers import Told
from rag_service.retrieval.evidence import THRESHOLD
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readings import Readers, Reading
from tests.fakes import FakeEmbedder
from tests.passages import passage

SURE, UNSURE = Told("14 litres", 8.0, 1), Told("14 litres", -9.0, 1)


def test_evidence_alone_decides_without_a_reader() -> None:
    """A model that can not tell by itself what passages lack needs more of it."""
    between = (THRESHOLD + LIKELIER_THAN_NOT) / 2
    assert Judgement(between).is_enough("How much?", reads=True)
    assert not Judgement(between).is_enough("How much?", reads=False)


def test_a_reader_that_is_sure_makes_up_for_little_evidence() -> None:
    """And one that finds nothing outweighs some; but of a sum it can not know."""
    assert Judgement(0.05, told=(SURE,)).is_enough("How much does it burn?", reads=True)
    assert not Judgement(0.3, told=(UNSURE,)).is_enough("How much does it burn?", reads=True)
    assert Judgement(0.9, told=(UNSURE,)).is_enough("How much do two burn together?", reads=True)


def test_a_reader_reads_for_the_question_and_not_for_what_was_searched_for() -> None:
    """Of a query with the question before in it, that one's answer would be found too."""
    asked: list[str] = []

    def read(question: str, passages: Sequence[Passage]) -> list[Reading]:
        asked.append(question)
        nowhere = np.empty(0, dtype=np.float32)
        return [Reading(0.0, (), nowhere, nowhere) for _ in passages]

    found = [passage(1, "Agnes burns 14 litres.")]
    judge("And Agnes?", "What does Ulla burn? And Agnes?", found, FakeEmbedder(), Readers(read))
    assert asked == ["And Agnes?"]
    assert judge("And Agnes?", "And Agnes?", [], FakeEmbedder(), Readers(read)).told == ()
    assert asked == ["And Agnes?"]


def test_what_names_nothing_that_is_there_is_not_asked_about() -> None:
    """No sentence is about it, so no reader judges what a model would say.

    Letters may be short for words, in German each noun has a capital, and a name may be misspelt.
    """

    def read(_: str, passages: Sequence[Passage]) -> list[Reading]:
        nowhere = np.empty(0, dtype=np.float32)
        return [Reading(0.0, (), nowhere, nowhere) for _ in passages]

    def judged(question: str) -> Judgement:
        found = [passage(1, "The kettle K200 holds two litres. Its managing director is Orson Kovacs.")]
        return judge(question, question, found, FakeEmbedder(), Readers(read))

    assert judged("How many litres does the K300 hold?").strange
    assert not judged("How many litres does the K200 hold?").strange
    assert not judged("Who is the CEO?").strange
    assert judged("What is the age of Achterberg?").strange
    assert not judged("What is the age of Kovaks?").strange
    assert not judged("What Is The Monthly Deposit?").strange
    assert not judged("Wie viele Liter fasst der Kocher?").strange
    assert not Judgement(0.9, strange=True).is_enough("How many?", reads=True)


def test_a_sentence_that_says_whether_is_enough() -> None:
    """No reader finds a yes or a no."""
    assert Judgement(0.3, told=(UNSURE,), stated="It is not allowed.").is_enough("May I?", reads=True)
    assert not Judgement(0.3, stated="It is not allowed.").is_enough("May I?", reads=False)
