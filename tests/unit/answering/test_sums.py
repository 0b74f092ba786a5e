"""Whether what was calculated may be an answer."""

import pytest

from rag_service.answering.sums import computed_from, counted_things
from rag_service.answering.tools import ToolCall

TEXT = "At normal load Agnes burns 13 litres of diesel an hour. The hut is 220 metres away."
ASKED = "How many litres does Agnes burn in an hour?"


@pytest.mark.parametrize(
    ("expression", "output", "holds"),
    [
        ("3*85+2*40", "335", True),
        ("85+40", "125", False),
        ("3*86+2*40", "338", False),
        ("2*40-3*85", "-175", False),
        ("3*85+2*", "Write it as a sum.", False),
    ],
)
def test_a_sum_is_of_numbers_that_stand_somewhere(expression: str, output: str, *, holds: bool) -> None:
    """All that the question counts with are among them, and it comes to something."""
    question, text = "What do three hats and two mugs cost together?", "A hat costs 85, a mug 40 crowns."
    assert computed_from(question, [ToolCall("calculate", expression, output)], [text]) is holds


def test_without_a_calculation_nothing_was_computed() -> None:
    """A search is none."""
    assert not computed_from(ASKED, [ToolCall("search", "Agnes", "Energy")], [TEXT])


def test_a_sum_that_was_mended_counts() -> None:
    """The model had read that the first one is no arithmetic; a later sum goes on with earlier ones."""
    question, text = "What do three hats and two mugs cost together?", "A hat costs 85, a mug 40 crowns."

    def calls(*sums: tuple[str, str]) -> list[ToolCall]:
        return [ToolCall("calculate", expression, output) for expression, output in sums]

    assert computed_from(question, calls(("3**)", "That is no arithmetic."), ("3*85+2*40", "335")), [text])
    assert computed_from(question, calls(("3*85", "255"), ("2*40", "80"), ("255+80", "335")), [text])
    assert not computed_from(question, calls(("3*85", "255")), [text])


SHOP = "A woollen hat costs 85 crowns. A T-shirt costs 65 crowns. An enamel mug costs 40 crowns."


@pytest.mark.parametrize(
    ("expression", "output", "holds"), [("3*85+2*40", "335", True), ("3*85+2*65", "385", False)]
)
def test_each_of_several_things_has_its_own_number(expression: str, output: str, *, holds: bool) -> None:
    """A shirt's price is none of hats and mugs."""
    question = "What do three woollen hats and two enamel mugs cost together?"
    assert computed_from(question, [ToolCall("calculate", expression, output)], [SHOP]) is holds


def test_a_single_thing_may_be_counted_elsewhere() -> None:
    """The price of a bed speaks of no guests."""
    question = "What is a bed for each of the nine guests in total?"
    assert computed_from(
        question, [ToolCall("calculate", "9*30", "270")], ["A bed costs 30 crowns. Guests like it."]
    )


def test_what_is_counted_is_said_behind_the_number() -> None:
    """Units are no things, and no words behind a small one."""
    assert [sorted(each) for each in counted_things("3 woollen hats and 2 mugs")] == [
        ["hat", "woollen"],
        ["mug"],
    ]
    assert counted_things("all seventeen of the crew in 24 hours") == []
