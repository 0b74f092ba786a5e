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
        ("28 July 186622 December 1943", None),
        ("a room for 18 people", None),
        ("at 1850 metres", None),
        ("1200 BC", None),
        ("AD 1200", None),
        ("2021-13-01", (2021,)),
        ("2021-00-01", (2021,)),
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
        ("13 litres an hour", "15 litres", None),
        ("\u20ac12 per month", "\u20ac100 per year", None),
        ("\u20ac12 per month", "\u20ac15 a month", -1),
        ("$12/month", "$100 yearly", None),
        ("3 TB", "500 GB", None),
        ("6 feet", "30 inches", 1),
        ("minus 12 \u00b0C", "minus 30 \u00b0C", 1),
        ("12 degrees below zero", "3 degrees", -1),
        ("-5 to 3 \u00b0C", "1 \u00b0C", None),
        ("20 \u00b0C", "50 \u00b0F", None),
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


def test_a_sign_may_stand_before_the_words_in_their_sentence() -> None:
    """And what was told is not found within another number."""
    cold = amount_in("12 \u00b0C", "It fell to \u221212 \u00b0C.")
    assert cold is not None
    assert cold.low == -12
    litres = amount_in("5", "It has 15 kg and 5 litres.")
    assert litres is not None
    assert litres.unit == "volume"


@pytest.mark.parametrize(
    "text", ["the cook", "6:30", "1.2.3", "", "\u00a35m", "$1.2bn", "1.234 euros", "1/2", "2\u00bd", "$5-$10"]
)
def test_what_may_be_another_number_is_no_amount(text: str) -> None:
    """Times and versions are none, nor what goes on behind it."""
    assert amount_in(text, "") is None
