"""Units: what a question wants measured, and what an answer measures."""

import pytest

from rag_service.retrieval.units import (
    Unit,
    measures_another,
    quantities_in,
    quantity_asked_for,
    quantity_of,
    unit_behind,
    unit_counted,
)


@pytest.mark.parametrize(
    ("question", "quantity"),
    [
        ("How deep is the lake?", "length"),
        ("how many litres does it burn in an hour", "volume"),
        ("How many free minutes do I get?", "time"),
        ("At what wind speed is it closed?", "speed"),
        ("What did the charter cost?", "money"),
        ("Down to which temperature does it start?", "temperature"),
        ("How many people live there?", None),
        ("How long is it?", None),
    ],
)
def test_a_question_says_what_it_wants_measured(question: str, quantity: str | None) -> None:
    """By its question word or the unit that it counts; "how long" may be a way or a time."""
    assert quantity_asked_for(question) == quantity


@pytest.mark.parametrize(
    ("text", "quantities"),
    [
        ("41 square kilometres", {"area"}),
        ("15 kilowatts", {"power"}),
        ("80 km/h", {"speed"}),
        ("1,150,000 crowns", {"money"}),
        ("45 minutes", {"time"}),
        ("-45 °C", {"temperature"}),
        ("31", set()),
    ],
)
def test_a_longer_unit_is_not_the_shorter_one_in_it(text: str, quantities: set[str]) -> None:
    """Square kilometres are no length, minutes no metres."""
    assert quantities_in(text) == quantities


def test_an_answer_that_measures_something_else_is_seen() -> None:
    """A bare number, and the time that a way takes, may be what was asked for."""
    assert measures_another("How deep is the lake?", "41 square kilometres")
    assert measures_another("How many litres does it burn?", "15 kilowatts")
    assert not measures_another("How deep is the lake?", "1,214 metres")
    assert not measures_another("How deep is the lake?", "1,214")
    assert not measures_another("How far is it to the hut?", "an hour on foot")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How high is the daily allowance?", "52 euros"),
        ("How high may the load be?", "15 kilowatts"),
        ("How fast do you reply?", "within two days"),
        ("What does the temperature sensor cost?", "210 euros"),
        ("How long does it keep at room temperature?", "6 months"),
    ],
)
def test_a_word_of_the_question_that_asks_for_nothing_measured_is_no_unit(question: str, answer: str) -> None:
    """What can be high is not only a tower, and a temperature may be named beside what is asked."""
    assert not measures_another(question, answer)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How high is the tower?", "41 square kilometres"),
        ("How fast is the ferry?", "220 metres"),
        ("What is the water temperature?", "40 minutes"),
        ("At what temperature is it baked?", "45 minutes"),
        ("Which temperature must the room have?", "3 metres"),
    ],
)
def test_what_is_asked_for_is_still_another_thing_than_what_is_told(question: str, answer: str) -> None:
    """A tower has no area, a temperature takes no time."""
    assert measures_another(question, answer)


@pytest.mark.parametrize(
    ("text", "unit", "by"),
    [
        ("13 litres of diesel an hour", Unit("volume", "litre"), Unit("time", "hour")),
        ("13 liters", Unit("volume", "litre"), None),
        ("13 km", Unit("length", "kilometre"), None),
        ("13 kilometers", Unit("length", "kilometre"), None),
        ("13-hour shifts", Unit("time", "hour"), None),
        ("13 crowns a kilogram", Unit("money", "crown"), Unit("mass", "kilogram")),
        ("13 Canadian dollars", Unit("money", "dollar"), None),
        ("13 boxes", None, None),
        ("13.", None, None),
    ],
)
def test_the_unit_behind_a_number_has_one_name(text: str, unit: Unit | None, by: Unit | None) -> None:
    """However it is spelt; with what each is of."""
    assert unit_behind(text, 0, 2) == (unit, by)


def test_a_sign_before_a_number_is_money() -> None:
    """$120."""
    assert unit_behind("A room is $120.", 11, 14) == (Unit("money", "dollar"), None)


def test_what_is_counted_is_a_unit_or_measured_in_one() -> None:
    """Litres are, diesel is where a text has litres of it."""
    assert unit_counted("How many litres are left?") == Unit("volume", "litre")
    assert unit_counted("How many boxes are left?") is None
    assert quantity_of("How much diesel is left?", ["It has 40 litres of diesel."]) == "volume"
    assert quantity_of("How much diesel is left?", ["It has a tank."]) is None


@pytest.mark.parametrize(
    ("question", "another"),
    [
        ("How much diesel does it need?", True),
        ("How much time does it need?", False),
        ("How much longer is it?", False),
        ("How much does it take?", False),
        ("How much paid leave do I have?", False),
        ("How much experience is needed?", False),
    ],
)
def test_how_much_there_is_of_something_is_no_time(question: str, *, another: bool) -> None:
    """Nine hours are no diesel."""
    assert measures_another(question, "nine hours") is another
