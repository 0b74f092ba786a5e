"""Written questions: what is kept, what is thrown out, and the same request in training and in use."""

from collections import Counter
from collections.abc import Sequence

import pytest

from posttrain.data.questions import tally, write_questions
from posttrain.data.reading import SQUAD, Source, grounded_record
from posttrain.data.writing import WrittenQuestion, read_question, writing_messages, writing_records
from rag_service.answering.conversation import Message, Part, SourcePassage
from rag_service.answering.markers import Call, Delta
from tests.fakes import FakeChatModel, Said

PASSAGE = SourcePassage("chk_1", "Agnes burns 14 litres an hour.", "Engines")
SOURCE = Source("collection default", "own")


def speaker(written: str, answer: Said) -> FakeChatModel:
    """Return a model that writes this question, and this answer when it has passages before it."""

    def speak(messages: Sequence[Message], parts: Sequence[Part]) -> Said:
        if any(part.passages for part in parts):
            return answer
        assert tuple(messages[1:]) == writing_messages(PASSAGE)
        return [Delta("text", written)]

    return FakeChatModel(speak)


@pytest.mark.parametrize(
    ("written", "answer", "fate"),
    [
        ("Question: What does Agnes burn?\nAnswer: 14 litres.", "It burns 14 litres [1].", "kept"),
        ("Question: What does Agnes burn?\nAnswer: 14 litres.", "It burns oil.", "lost on the way"),
        ("Question: What does Agnes burn?\nAnswer: 40 litres", "40 litres", "not in the text"),
        ("Question: Who burns 14 litres?\nAnswer: 14 litres", "14 litres", "gives itself away"),
        ("What does Agnes burn? 14 litres.", "14 litres", "unreadable"),
    ],
)
def test_only_questions_that_come_back_are_kept(written: str, answer: str, fate: str) -> None:
    """Each way to fail has its name."""
    fates: Counter[str] = Counter()

    def count(found: str) -> None:
        fates[found] += 1

    model = speaker(written, [Delta("text", answer)])
    records = list(write_questions([PASSAGE], model, SOURCE, report=count))
    assert fates == {fate: 1}
    assert len(records) == (fate == "kept")
    if records:
        assert records[0].messages[-1].text == "14 litres [1]."
        assert records[0].meta.gold_passages == ("chk_1",)
        assert records[0].meta.source == SOURCE.name


def test_a_refusal_or_a_search_on_the_way_back_loses_the_question() -> None:
    """The right words in a refusal are no answer."""
    written = "Question: What does Agnes burn?\nAnswer: 14 litres"
    for said in ([Delta("refusal", "Not 14 litres.")], [Call("search", "14 litres")]):
        assert not list(write_questions([PASSAGE], speaker(written, said), SOURCE))


def test_the_same_question_twice_is_kept_once() -> None:
    """Of two equal questions about one passage the second is thrown out."""
    model = speaker("Q: What does Agnes burn?\nA: 14 litres", [Delta("text", "14 litres")])
    assert len(list(write_questions([PASSAGE], model, SOURCE, each=2))) == 1


def test_records_turned_around_are_read_back() -> None:
    """What is taught to be written is what `read_question` reads, asked for as in use."""
    record = grounded_record("1", "What does Agnes burn?", PASSAGE, ["14 litres"], split="dev", source=SQUAD)
    (turned,) = writing_records([record])
    assert turned.task == "write_question"
    assert turned.split == "dev"
    assert turned.messages[:-1] == writing_messages(PASSAGE)
    assert read_question(turned.messages[-1].text) == WrittenQuestion("What does Agnes burn?", "14 litres")


def test_tally_tells_how_many_are_kept_and_why_others_are_not() -> None:
    """Counts in one line."""
    assert tally({"kept": 2, "unreadable": 1}) == "3 questions written, 2 kept (1 unreadable)"


def test_an_untrained_model_is_shown_examples_and_begun_for() -> None:
    """It has no idea of the form; its own words go on where "Question:" stands."""
    turns: list[int] = []

    def speak(messages: Sequence[Message], parts: Sequence[Part]) -> Said:
        if tuple(messages[-1:]) != writing_messages(PASSAGE):  # the way back
            return [Delta("text", "It burns 14 litres [1].")]
        turns.append(len(messages))
        assert parts[-1].text == "Question:"
        return [Delta("text", " What does Agnes burn?\nAnswer: 14 litres.")]

    (record,) = write_questions([PASSAGE], FakeChatModel(speak, skill="none"), SOURCE)
    assert record.messages[0].text == "What does Agnes burn?"
    assert turns == [5]
