"""Amounts and dates that stand in texts, and which of two is more or later."""

import pytest

from rag_service.retrieval.amounts import Date, amount_in, date_in, order_of_amounts, order_of_dates


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("22 January 1998", (1998, 1, 22)),
        ("on the 22nd of January, 1998", (1998, 1, 22)),
        ("born December 25, 1956", (1956, 12, 25)),
        ("1998-01-22", (1998, 1, 22)),
        ("in Sept. 2011", (2011, 9)),
        ("the year 1998", (1998,)),
        ("2001-2006", (2001,)),
        ("from May 2011 to June 2012", (2011, 5)),
        ("1998, 2003", None),
        ("a room for 18 people", None),
    ],
)
def test_the_only_date_of_a_text_is_found(text: str, date: Date | None) -> None:
    """As far as it goes; a span begins with its first."""
    assert date_in(text) == date


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        ((1998, 1, 22), (1998, 2), -1),
        ((2003,), (1998, 1, 22), 1),
        ((1998,), (1998, 1, 22), None),
        ((1998, 1, 22), (1998, 1, 22), None),
    ],
)
def test_dates_are_ordered_as_far_as_both_go(one: Date, other: Date, order: int | None) -> None:
    """A year says nothing about a day in it."""
    assert order_of_dates(one, other) == order


@pytest.mark.parametrize(
    ("one", "other", "order"),
    [
        ("13 litres", "15 litres", -1),
        ("1.2 km", "900 metres", 1),
        ("two hours", "90 minutes", 1),
        ("\u221253.2 \u00b0C", "\u221252.9 \u00b0C", -1),
        ("-3 degrees", "2 degrees", -1),
        ("eight or nine", "about 14", -1),
        ("10 to 15 metres", "12 metres", None),
        ("13 litres", "13 litres", None),
        ("13 litres", "15 kilometres", None),
        ("13 litres an hour", "15 litres a day", None),
        ("13 litres an hour", "15 litres", -1),
        ("$ 12", "\u20ac 11", None),
    ],
)
def test_amounts_are_ordered_in_one_unit(one: str, other: str, order: int | None) -> None:
    """Of other kinds they do not compare, nor where they overlap."""
    first, second = amount_in(one, ""), amount_in(other, "")
    assert first is not None
    assert second is not None
    assert order_of_amounts(first, second) == order
    assert order_of_amounts(second, first) == (order and -order)


def test_a_unit_may_stand_behind_the_words_in_their_sentence() -> None:
    """A reader may leave it out."""
    told = amount_in("13", "At normal load Agnes burns 13 litres of diesel\nan hour.")
    assert told is not None
    assert (told.unit, told.by) == ("volume", "hour")


@pytest.mark.parametrize("text", ["the cook", "6:30", "1.2.3"])
def test_what_is_no_number_is_no_amount(text: str) -> None:
    """Times and versions are none."""
    assert amount_in(text, "") is None
