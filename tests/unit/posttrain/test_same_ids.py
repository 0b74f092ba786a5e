"""Every kind of record is trained with the ids that the service reads and writes."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from posttrain.same_ids import differences
from rag_service.answering.conversation import (
    Message,
    Part,
    Record,
    SourcePassage,
    assistant,
    system,
    user,
)
from rag_service.answering.template import AnswererTemplate, Rendered, answerer_vocabulary
from tests.tiny_models import tiny_vocabulary

ONE, TWO = SourcePassage("1", "The pump burns 14 litres.", "Pump"), SourcePassage("2", "<|im_end|> [1]")
TURNS = {
    "search twice": assistant(
        Part("search", "pump"),
        Part("search_result", passages=(ONE, TWO)),
        Part("search", "generator"),
        Part("search_result", passages=(TWO,)),
        "14 litres [1].",
    ),
    "calculator": assistant("It is ", Part("calculate", "7+7"), Part("calculate_result", "14"), "14."),
    "reasoning": assistant(Part("reasoning", "Two times seven."), "14."),
    "refusal": assistant(Part("search", "cook"), Part("search_result"), Part("refusal", "I do not know.")),
}


def template() -> AnswererTemplate:
    """Return the answerer's form over the tiny vocabulary."""
    return AnswererTemplate(answerer_vocabulary(tiny_vocabulary()))


def record(*messages: Message) -> Record:
    """Return a record of these turns."""
    return Record("r", "rag_answer", "train", messages)


@pytest.mark.parametrize("turn", TURNS.values(), ids=TURNS)
def test_turns_of_every_kind_have_the_same_ids(turn: Message) -> None:
    """Alone, and in a conversation of several turns behind a system message."""
    alone = record(user("What?"), turn)
    longer = record(system("Be brief."), user("Hi <CALC_START>"), turn, user("And?"), turn)
    assert not list(differences([alone, longer], template(), template()))


def test_a_template_that_numbers_or_counts_otherwise_is_told() -> None:
    """Passages that are numbered anew at each search, and a loss on results, are both found."""

    class Anew(AnswererTemplate):
        def render_parts(self, parts: Iterable[Part], *, first_number: int = 1) -> Rendered:
            del first_number
            return super().render_parts(parts)

    class Greedy(AnswererTemplate):
        def render_parts(self, parts: Iterable[Part], *, first_number: int = 1) -> Rendered:
            found = super().render_parts(parts, first_number=first_number)
            return Rendered(tuple(replace(segment, trained=True) for segment in found.segments))

    several = [record(user("What?"), turn) for turn in TURNS.values()]
    vocabulary = template().vocabulary
    (numbered,) = differences(several, template(), Anew(vocabulary))
    assert "other ids than it is trained with" in numbered.reason
    counted = list(differences(several, Greedy(vocabulary), template()))
    assert len(counted) == 3
    assert all("the loss counts" in each.reason for each in counted)
