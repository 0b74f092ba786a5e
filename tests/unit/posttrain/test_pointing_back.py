"""Follow-ups whose subject is a pronoun: what is asked, and what is searched for."""

import pytest

from posttrain.data.pointing_back import pointing_back
from posttrain.data.reading import SQUAD, grounded_record
from rag_service.answering.conversation import Record, SourcePassage, user

HER = SourcePassage(
    "p1", "Ada Byrne, born in Cork, was a diver. She found the wreck in 1911.", "Ada Byrne (diver)"
)
HIM = SourcePassage("p1", "Ada Byrne, born in Cork, was a diver. His wreck was found in 1911.", "Ada Byrne")
WRECK = SourcePassage("p1", "The Tern sank in 1840. Divers found the wreck in 1911.", "Tern")


def asked(number: int, question: str, passage: SourcePassage, *answers: str) -> Record:
    """Return a record about a passage."""
    return grounded_record(str(number), question, passage, answers, split="train", source=SQUAD)


@pytest.mark.parametrize(
    ("passage", "question", "said"),
    [
        (HER, "When did Ada Byrne find the wreck?", "when did she find the wreck?"),
        (HER, "When was Ada Byrne's wreck found?", "when was her wreck found?"),
        (HIM, "When did ada byrne find the wreck?", "when did he find the wreck?"),
        (HIM, "When was Ada Byrne\u2019s wreck found?", "when was his wreck found?"),
        (WRECK, "When did Tern sink?", "when did it sink?"),
        (WRECK, "What was Tern's year?", "what was its year?"),
        (WRECK, "When did the Tern sink?", "when did it sink?"),
    ],
)
def test_the_name_is_asked_as_a_pronoun_and_searched_as_a_name(
    passage: SourcePassage, question: str, said: str
) -> None:
    """The first question and its answer stand before; the reply is the second question's own."""
    name = passage.title.partition(" (")[0]
    first = asked(1, f"What is known of {name}?", passage, "1911")
    second = asked(2, question, passage, "1911")
    (made,) = pointing_back([first, second])
    before, answer, last, reply = made.messages
    assert (before, answer.text) == (first.messages[0], first.messages[1].text)
    assert last.text.lower().endswith(said)
    assert name.lower() not in last.text.lower()
    assert reply == second.messages[-1]
    assert reply.parts[0].text == question
    assert (made.id, made.meta) == ("2-pointing-back", second.meta)


def test_an_opening_goes_on_as_its_stop_says() -> None:
    """After "And" or "OK," it goes on in lower case, after a full stop as it began."""
    first, second = "Who was Ada Byrne?", "When did Ada Byrne dive?"
    pairs = [asked(1, first, HER, "a diver"), asked(2, second, HER, "1911")]
    texts = {made.messages[2].text for seed in range(40) for made in pointing_back(pairs, seed=seed)}
    rest = "hen did she dive?"
    assert texts == {f"W{rest}", f"And w{rest}", f"and w{rest}", f"OK, w{rest}", f"Thanks. W{rest}"}


def test_what_a_pronoun_would_leave_open_is_left_out() -> None:
    """Another passage, a name that nobody said before, a question that does not name it, a follow-up."""
    first = asked(1, "Who was Ada Byrne?", HER, "a diver")
    other = asked(2, "When did the Tern sink?", WRECK, "1840")
    unnamed = asked(3, "Who found the wreck?", HER, "a diver")
    longer = SourcePassage("p1", HER.text, "Ada")
    part = asked(4, "Who knew Adam?", longer, "a diver")
    follow_up = grounded_record(
        "5",
        "When did Ada Byrne dive?",
        HER,
        ["1911"],
        split="train",
        source=SQUAD,
        history=(user("Who found the wreck?"),),
    )
    second = asked(6, "When did Ada Byrne dive?", HER, "1911")
    assert not list(pointing_back([first, asked(2, "Who was Ada Byrne?", WRECK, "x"), other]))
    assert not list(pointing_back([unnamed, second]))
    assert not list(pointing_back([first, unnamed]))
    assert not list(pointing_back([asked(1, "Who was Ada?", longer, "a diver"), part]))
    assert not list(pointing_back([first, follow_up]))
    within = asked(7, "When was the Tern Bay wreck found?", WRECK, "1911")
    assert not list(pointing_back([asked(1, "What was the Tern?", WRECK, "x"), within]))
