"""The story of answers that take a step of their own; chat model and readers are stand-ins."""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import pytest

from posttrain.asking import ask as ask_over
from rag_service.answering.answer import Answer, Answerer, AnswerRequest, Found
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import SourcePassage, assistant, user
from rag_service.answering.markers import Call, Delta
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readings import Readers, Reading
from rag_service.retrieval.search import Retriever
from tests.factories import migrated_database
from tests.fakes import FakeChatModel, FakeEmbedder
from tests.integration.retrieval.shelf import Shelf

AGNES = "At normal load Agnes burns 13 litres of diesel an hour."
BERTIL = "Bertil burns 15 litres of diesel an hour."
OPENED = "The Lantern was opened on 22 January 1998."
LED = "Matteo led the station from 1990 to 1999."
TEXTS = tuple(f"Supper is at seven. {each} Tea is free." for each in (AGNES, BERTIL, OPENED, LED))
WHICH = "Which generator burns more diesel, Agnes or Bertil?"
WHO = "Who led the station when the Lantern was opened?"
EMBEDDER = FakeEmbedder(dimension=256)
# What the reader finds: words of the question, those of the passage, and the answer's.
KNOWS = (
    ("How much", "Agnes", "13"),
    ("How much", "Bertil", "15"),
    ("When was the Lantern", "Lantern", "22 January 1998"),
    ("from 1990 to 1999", "Matteo", "Matteo"),
)


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    """Four documents in the default collection."""
    folder = tmp_path_factory.mktemp("steps")
    database = migrated_database(folder)
    shelf = Shelf(database, folder, embedder=EMBEDDER)
    for text in TEXTS:
        shelf.add(text)
    yield shelf.retriever
    database.close()


def _read(question: str, passages: Sequence[Passage]) -> list[Reading]:
    return [_reading(question, each.text) for each in passages]


def _reading(question: str, text: str) -> Reading:
    """The answer has high logits where the question is about what the text is about."""
    words = list(re.finditer(r"\w+", text))
    answer = next(
        (
            told
            for asked, about, told in KNOWS
            if asked in question and about in question + text.split(".")[1] and about in text
        ),
        None,
    )
    start = text.find(answer) if answer else -1
    end = start + len(answer or "")
    starts, ends = (
        [7.0 if each == at >= 0 else -7.0 for each in edges]
        for edges, at in (
            ([word.start() for word in words], start),
            ([word.end() for word in words], end if start >= 0 else -1),
        )
    )
    spans = tuple(word.span() for word in words)
    return Reading(max(starts), spans, np.array(starts, np.float32), np.array(ends, np.float32))


def _says(text: str) -> FakeChatModel:
    said: list[Delta | Call] = [Delta("text", text)]
    return FakeChatModel(lambda _messages, _parts: said, reads=True)


def _answer(retriever: Retriever, question: str, says: str = "Nothing of it.", **how: str) -> Answer:
    answerer = Answerer(retriever, EMBEDDER, _says(says), readers=Readers(_read))
    return answerer.answer(AnswerRequest((user(question),), **how))  # type: ignore[arg-type]


def test_each_of_two_is_looked_up_and_both_are_cited(retriever: Retriever) -> None:
    """Exactly, and the model is not asked."""
    answer = _answer(retriever, WHICH)
    assert (answer.status, answer.text) == ("answered", "Bertil [1] [2].")
    assert [each.quote for each in answer.citations] == [AGNES, BERTIL]
    assert {each.verification.status for each in answer.citations} == {"supported"}
    for citation in answer.citations:
        assert TEXTS[0 if citation.quote == AGNES else 1][citation.source_start : citation.source_end] == (
            citation.quote
        )
        assert answer.text[citation.start : citation.end] == answer.text
    assert answer.usage.completion_tokens == 0
    assert answer.in_context == {each.passage.chunk_id for each in answer.citations}


def test_a_comparison_is_answered_with_yes_or_no(retriever: Retriever) -> None:
    """Where that is asked."""
    assert _answer(retriever, "Does Agnes burn more diesel than Bertil?").text == "No [1] [2]."


def test_where_one_is_not_found_the_question_is_asked_as_it_is(retriever: Retriever) -> None:
    """The reader finds nothing for it, so it is refused."""
    assert _answer(retriever, "Which generator burns more diesel, Agnes or Ulla?").status == "refused"


def test_a_date_stands_in_the_place_of_an_event(retriever: Retriever) -> None:
    """The answer rests on what tells the date, too; who led in 1998 is told by a span of years."""
    answer = _answer(retriever, WHO, says="Matteo [1].")
    assert (answer.status, answer.rewritten_query) == ("answered", "Who led the station in 1998?")
    assert [each.quote for each in answer.citations] == [LED, OPENED]
    assert {each.passage.chunk_id for each in answer.citations} <= {each.chunk_id for each in answer.passages}


def test_a_year_within_a_span_is_found(retriever: Retriever) -> None:
    """No passage has it."""
    answer = _answer(retriever, "Who led the station in 1994?", says="Matteo [1].")
    assert (answer.text, answer.rewritten_query) == ("Matteo [1].", None)
    assert _answer(retriever, "Who led the station in 1989?", says="Matteo [1].").status == "refused"


def test_where_the_other_question_has_no_answer_the_first_is_asked(retriever: Retriever) -> None:
    """Nothing of the step is left."""
    answer = _answer(retriever, "Who cooked the soup when the Lantern was opened?")
    assert (answer.status, answer.rewritten_query) == ("refused", None)


def test_passages_come_first_and_once(retriever: Retriever) -> None:
    """They are those of the question that is answered."""
    answerer = Answerer(retriever, EMBEDDER, _says("Matteo [1]."), readers=Readers(_read))
    events = list(answerer.stream(AnswerRequest((user(WHO),))))
    found = [each for each in events if isinstance(each, Found)]
    assert events[0] is found[0]
    assert len(found) == 1


@pytest.mark.parametrize("mode", ["never", "auto"])
def test_without_a_search_at_first_nothing_is_looked_up(
    retriever: Retriever, mode: Literal["never", "auto"]
) -> None:
    """The model decides, or nobody searches."""
    assert _answer(retriever, WHICH, says="Tea.", mode=mode).text == "Tea."


def test_a_follow_up_is_asked_as_it_is(retriever: Retriever) -> None:
    """What "it" is stands in another turn."""
    answerer = Answerer(retriever, EMBEDDER, _says("Tea."), readers=Readers(_read))
    turns = (user("What burns diesel?"), assistant("Agnes."), user("And which burns more, it or Bertil?"))
    assert answerer.answer(AnswerRequest(turns)).status == "refused"


def test_evaluation_takes_the_same_steps() -> None:
    """Over given passages, unless it is told not to."""
    passages = [SourcePassage(f"p{place}", text, "Handbook") for place, text in enumerate(TEXTS)]
    for in_steps, text in ((True, "Bertil [1][2]."), (False, "I could not find that in the documents.")):
        written = ask_over(
            _says("Nothing of it."),
            (user(WHICH),),
            passages,
            sampling=Sampling(),
            embedder=EMBEDDER,
            readers=Readers(_read),
            in_steps=in_steps,
        )
        assert written.refused is not in_steps
        if in_steps:
            assert written.text == text


def test_who_answers_is_no_question_for_the_documents(retriever: Retriever) -> None:
    """Where they do not say, the model does, as without a search."""
    answer = _answer(retriever, "Who are you?", says="I am Vera.")
    assert (answer.status, answer.text, answer.citations, answer.passages) == (
        "answered",
        "I am Vera.",
        (),
        (),
    )
    assert answer.evidence is None
    assert answer.timings_ms.search > 0
    assert _answer(retriever, "Who are the cooks?", says="I am Vera.").status == "refused"
