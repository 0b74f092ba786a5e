"""The story of an answer that two documents give together; chat model and readers are stand-ins."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from posttrain.asking import ask as ask_over
from rag_service.answering.answer import Answer, Answerer, AnswerRequest
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import SourcePassage, user
from rag_service.answering.markers import Call, Delta
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.readings import Readers, Reading
from rag_service.retrieval.search import Retriever
from tests.factories import migrated_database
from tests.fakes import FakeChatModel, FakeEmbedder
from tests.integration.retrieval.shelf import Shelf

SOUP = "On the first Friday of a month Orson cooks the fish soup."
BORN = "Orson was born in the town of Dunmarrow."
TEXTS = (
    f"Supper is at seven. {SOUP} Tea is free.",
    f"Milo keeps the tracks. {BORN} He plays the concertina.",
)
QUESTION = "In which town was the man born who cooks the fish soup once a month?"
EMBEDDER = FakeEmbedder(dimension=256)
SAYS = [Delta("text", "Dunmarrow [1].")]


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Retriever]:
    """Two documents in the default collection."""
    folder = tmp_path_factory.mktemp("two")
    database = migrated_database(folder)
    shelf = Shelf(database, folder, embedder=EMBEDDER)
    for text in TEXTS:
        shelf.add(text)
    yield shelf.retriever
    database.close()


def _alone(_question: str, passages: Sequence[Passage]) -> list[Reading]:
    return [_reading(each.text, "", -7.0) for each in passages]


def _together(_question: str, passages: Sequence[Passage]) -> list[Reading]:
    behind = ["fish soup" in each.text.partition("Dunmarrow")[0] for each in passages]
    return [
        _reading(each.text, "Dunmarrow", 7.0 if sure else -7.0)
        for each, sure in zip(passages, behind, strict=True)
    ]


def _reading(text: str, word: str, logit: float) -> Reading:
    """The word has this logit, all others one far below."""
    words = list(re.finditer(r"\w+", text))
    logits = np.array([logit if each[0] == word else -7.0 for each in words], dtype=np.float32)
    return Reading(float(logits.max()), tuple(each.span() for each in words), logits, logits)


def finds(retriever: Retriever, said: Sequence[Delta | Call]) -> Answer:
    """Ask a model that says this, beside readers that find the town only behind the soup."""
    model = FakeChatModel(lambda _messages, _parts: said, reads=True)
    answerer = Answerer(retriever, EMBEDDER, model, readers=Readers(_alone, _together))
    return answerer.answer(AnswerRequest((user(QUESTION),)))


def test_an_answer_of_two_passages_cites_a_sentence_of_each(retriever: Retriever) -> None:
    """Exactly, wherever they stand."""
    answer = finds(retriever, SAYS)
    assert (answer.status, answer.text) == ("answered", "Dunmarrow [1] [2].")
    assert [each.quote for each in answer.citations] == [BORN, SOUP]
    for citation in answer.citations:
        text = next(each for each in TEXTS if citation.quote in each)
        assert text[citation.source_start : citation.source_end] == citation.quote
    assert [each.verification.status for each in answer.citations][1] == "supported"


@pytest.mark.parametrize(
    "said",
    [
        [Delta("text", "Hochmoos [1].")],
        [Delta("refusal", "I could not find that.")],
    ],
)
def test_what_the_answerer_does_not_find_too_is_refused(
    retriever: Retriever, said: list[Delta | Call]
) -> None:
    """A reader is too sure of what stands behind other sentences."""
    answer = finds(retriever, said)
    assert (answer.status, answer.citations) == ("refused", ())


def test_nothing_is_read_together_where_that_can_not_count(retriever: Retriever) -> None:
    """Beside a model that reads badly, and where its words are to stand whatever is found."""

    def together(_question: str, _passages: Sequence[Passage]) -> list[Reading]:
        raise AssertionError("This was not to be read.")

    for reads, how in ((False, "refuse"), (True, "answer")):
        model = FakeChatModel(lambda _messages, _parts: SAYS, reads=reads)
        answerer = Answerer(retriever, EMBEDDER, model, readers=Readers(_alone, together))
        answerer.answer(AnswerRequest((user(QUESTION),), on_no_evidence=how))  # type: ignore[arg-type]


def test_an_answer_of_one_passage_cites_that_alone(retriever: Retriever) -> None:
    """What two told together was not what the answerer says, and that stands by itself."""

    def nearly(_question: str, passages: Sequence[Passage]) -> list[Reading]:
        return [_reading(each.text, "Friday", 0.0) for each in passages]

    model = FakeChatModel(lambda _messages, _parts: [Delta("text", "Friday [1].")], reads=True)
    answerer = Answerer(retriever, EMBEDDER, model, readers=Readers(nearly, _together))
    answer = answerer.answer(AnswerRequest((user(QUESTION),)))
    assert [each.quote for each in answer.citations] == [SOUP]


def test_what_the_model_finds_by_itself_is_read_together_too(retriever: Retriever) -> None:
    """It searched, and its answer rests on both."""
    turns = iter([[Call("search", "soup town")], SAYS])
    model = FakeChatModel(lambda _messages, _parts: next(turns), reads=True)
    answerer = Answerer(retriever, EMBEDDER, model, readers=Readers(_alone, _together))
    answer = answerer.answer(AnswerRequest((user(QUESTION),), mode="auto"))
    assert [each.quote for each in answer.citations] == [BORN, SOUP]


def test_evaluation_asks_as_the_service_does() -> None:
    """Over given passages: an answer with both, and without reading together a refusal."""
    passages = [SourcePassage(f"p{place}", text, "Handbook") for place, text in enumerate(TEXTS)]

    def told(readers: Readers) -> str | None:
        model = FakeChatModel(lambda _messages, _parts: SAYS, reads=True)
        written = ask_over(
            model, (user(QUESTION),), passages, sampling=Sampling(), embedder=EMBEDDER, readers=readers
        )
        return None if written.refused else written.text

    assert told(Readers(_alone, _together)) in {"Dunmarrow [1][2].", "Dunmarrow [2][1]."}
    assert told(Readers(_alone)) is None
