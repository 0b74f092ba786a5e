"""Two passages that are read as one text: what is found behind which sentences, and when it stands."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from rag_service.answering.judging import judge
from rag_service.answering.reading_together import Joined, joins_facts, said_together, told_together
from rag_service.answering.two_readers import Said, Told
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readings import Read, Readers, Reading
from tests.fakes import FakeEmbedder
from tests.passages import passage

QUESTION = "In which town was the man born who cooks the fish soup once a month?"
COOKING = "Supper is at seven. On the first Friday of a month Orson cooks the fish soup. Tea is free."
PEOPLE = "Milo keeps the tracks. Orson was born in Dunmarrow. He plays the concertina."
SOUP, BORN = COOKING.split(". ")[1] + ".", "Orson was born in Dunmarrow."
PASSAGES = [passage(1, COOKING), passage(2, PEOPLE), passage(3, "The ship comes in January.")]


def knows(town: str, *, behind: str, logit: float = 7.0) -> Read:
    """Return a reader that finds a word where other words stand before it, and nothing elsewhere."""

    def read(_question: str, passages: Sequence[Passage]) -> list[Reading]:
        return [
            _reading(each.text, town, logit if behind in each.text.partition(town)[0] else -9.0)
            for each in passages
        ]

    return read


def _reading(text: str, word: str, logit: float) -> Reading:
    ends = np.cumsum([len(each) + 1 for each in text.split(" ")]).tolist()
    spans = tuple((end - len(each) - 1, end - 1) for end, each in zip(ends, text.split(" "), strict=True))
    logits = np.array([logit if text[a:b].strip(".\n") == word else -9.0 for a, b in spans], dtype=np.float32)
    return Reading(logit, spans, logits, logits)


ALONE = knows("nothing", behind="")


@pytest.mark.parametrize(
    ("question", "joins"),
    [
        (QUESTION, True),
        ("Where was Orson born?", False),
        ("What do three of the woollen hats and two of the enamel mugs cost together in all?", False),
    ],
)
def test_long_questions_may_join_facts(question: str, joins: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A sum is no words that a reader finds."""
    assert joins_facts(question) is joins


def test_what_stands_behind_the_sentences_of_another_passage_is_found() -> None:
    """With the sentence that has it, and the one of the other passage that fits the question best."""
    readings = ALONE(QUESTION, PASSAGES)
    joined = told_together(QUESTION, PASSAGES, readings, [SOUP], knows("Dunmarrow", behind="fish soup"))
    assert joined == Joined(Told("Dunmarrow.", 7.0, 2), (PASSAGES[1], PASSAGES[0]), (BORN, SOUP))


def test_what_a_reader_is_not_sure_of_is_left() -> None:
    """Two passages together make it sure too soon."""
    together = knows("Dunmarrow", behind="fish soup", logit=5.4)
    assert told_together(QUESTION, PASSAGES, ALONE(QUESTION, PASSAGES), [SOUP], together) is None


def test_what_a_passage_tells_by_itself_was_left_out_with_reason() -> None:
    """What Bertil burns is no answer about Agnes, however sure a reader is behind a sentence about her."""
    together = knows("Dunmarrow", behind="fish soup")
    readings = knows("Dunmarrow", behind="Milo", logit=0.5)(QUESTION, PASSAGES)
    assert told_together(QUESTION, PASSAGES, readings, [SOUP], together) is None


def test_only_the_neighbours_of_the_best_sentence_are_read_before_a_passage() -> None:
    """Some fifty words, so that the passage behind it has room."""
    long = " ".join(f"Sentence {number} says nothing about anything at all." for number in range(40))
    read: list[str] = []

    def together(_question: str, passages: Sequence[Passage]) -> list[Reading]:
        read.extend(each.text for each in passages)
        return ALONE(QUESTION, passages)

    both = [passage(1, long), PASSAGES[1]]
    told_together(
        QUESTION, both, ALONE(QUESTION, both), ["Sentence 20 says nothing about anything at all."], together
    )
    first, whole = next(text for text in read if text.endswith(PEOPLE)).split("\n")
    assert first.startswith("Sentence 17")
    assert first.endswith("Sentence 23 says nothing about anything at all.")
    assert whole == PEOPLE


JOINED = Joined(Told("Dunmarrow", 7.0, 2), (PASSAGES[1], PASSAGES[0]), (BORN, SOUP))


def test_what_the_answerer_says_too_stands_with_both_places() -> None:
    """In the reader's words."""
    said = Said("the town of Dunmarrow [1].")
    assert said_together(QUESTION, said, JOINED, PASSAGES[:2]) == "Dunmarrow [2][1]."


@pytest.mark.parametrize(
    "said", [Said("Hochmoos [1]."), Said(""), Said("Dunmarrow", refused=True), Said("12", computed=True)]
)
def test_what_it_does_not_say_is_no_answer(said: Said) -> None:
    """It may refuse, say something else or nothing, or have computed."""
    assert said_together(QUESTION, said, JOINED, PASSAGES) is None


def test_what_repeats_the_question_or_is_of_another_year_is_no_answer() -> None:
    """As where one passage answers."""
    soup = replace(JOINED, told=Told("fish soup", 7.0, 2))
    assert said_together(QUESTION, Said("fish soup"), soup, PASSAGES) is None
    dated = QUESTION.replace("once a month", "in 1999")
    assert said_together(dated, Said("Dunmarrow"), JOINED, PASSAGES) is None
    then = replace(JOINED, passages=(PASSAGES[1], passage(1, f"{COOKING} So it was in 1999.")))
    assert said_together(dated, Said("Dunmarrow"), then, PASSAGES) == "Dunmarrow [2][1]."


def test_two_are_read_together_where_none_answers_by_itself() -> None:
    """And the question is long, and somebody can."""
    together = knows("Dunmarrow", behind="fish soup")

    def judged(question: str, readers: Readers) -> Joined | None:
        return judge(question, question, PASSAGES, FakeEmbedder(), readers).joined

    assert judged(QUESTION, Readers(ALONE, together)) is not None
    assert judged(QUESTION, Readers(ALONE)) is None
    assert judged("Where was Orson born?", Readers(ALONE, together)) is None
    assert judged(QUESTION, Readers(knows("Dunmarrow", behind="Milo"), together)) is None
    judgement = judge(QUESTION, QUESTION, PASSAGES, FakeEmbedder(), Readers(ALONE, together))
    assert judgement.excerpted[:2] == (BORN, SOUP)
    assert JOINED.first([SOUP]) == (BORN, SOUP)
    assert judgement.best == judge(QUESTION, QUESTION, PASSAGES, FakeEmbedder(), Readers(ALONE)).best
    assert judgement.is_enough(QUESTION, reads=True)
