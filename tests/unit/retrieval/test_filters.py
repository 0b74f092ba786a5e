"""The grammar of filters: what is read, what is refused and with which words."""

import pytest

from corpus.errors import InvalidFilter
from rag_service.retrieval.filters import Combination, Comparison, Membership, parse_filter


def test_every_form_is_read() -> None:
    """Comparisons, memberships and combinations nest."""
    data = {
        "type": "and",
        "filters": [
            {"type": "gte", "key": "year", "value": 2020},
            {"type": "or", "filters": [{"type": "in", "key": "language", "value": ["en", "de"]}]},
        ],
    }
    year = Comparison("gte", "year", 2020)
    language = Membership("in", "language", ("en", "de"))
    assert parse_filter(data) == Combination("and", (year, Combination("or", (language,))))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("year = 1", "must be an object"),
        ({}, "must be one of eq"),
        ({"type": "like", "key": "a", "value": "b"}, "must be one of eq"),
        ({"type": ["eq"], "key": "a", "value": "b"}, "must be one of eq"),
        ({"type": "eq", "key": "a"}, "exactly the fields key, type, value"),
        ({"type": "eq", "key": "a", "value": 1, "more": 2}, "exactly the fields"),
        ({"type": "eq", "key": "", "value": 1}, "filters.key"),
        ({"type": "eq", "key": 7, "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a", "value": None}, "a text, a number or a boolean"),
        ({"type": "eq", "key": "a", "value": [1]}, "a text, a number or a boolean"),
        ({"type": "eq", "key": "a", "value": float("nan")}, "finite"),
        ({"type": "eq", "key": "a", "value": 10**400}, "finite"),
        ({"type": "eq", "key": "a", "value": "\ud800"}, "surrogate"),
        ({"type": "eq", "key": "a", "value": "x\0"}, "U\\+0000"),
        ({"type": "gt", "key": "a", "value": True}, "no order"),
        ({"type": "in", "key": "a", "value": "abc"}, "must be a list"),
        ({"type": "in", "key": "a", "value": [1, {}]}, r"filters.value\[1\]"),
        ({"type": "in", "key": "a", "value": list(range(1001))}, "more than 1000 values"),
        ({"type": "eq", "key": "title", "value": 3}, "title is compared with texts"),
        ({"type": "eq", "key": "created_at", "value": "yesterday"}, "ISO 8601"),
        ({"type": "eq", "key": "created_at", "value": True}, "ISO 8601"),
        ({"type": "eq", "key": "created_at", "value": 1e30}, "ISO 8601"),
        ({"type": "and", "filters": []}, "at least one"),
        ({"type": "and", "filters": {"type": "eq"}}, "at least one"),
        (
            {"type": "and", "filters": [{"type": "eq", "key": "a", "value": {}}]},
            r"filters.filters\[0\].value",
        ),
        (
            {"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}] * 201},
            "more than 200 conditions",
        ),
    ],
)
def test_anything_else_is_refused_with_its_place(data: object, words: str) -> None:
    """Each fault is an InvalidFilter that says where and what."""
    with pytest.raises(InvalidFilter, match=words):
        parse_filter(data)


def test_depth_is_limited() -> None:
    """A filter nested a thousand deep is refused, not recursed into."""
    data: dict[str, object] = {"type": "eq", "key": "a", "value": 1}
    for _ in range(1000):
        data = {"type": "and", "filters": [data]}
    with pytest.raises(InvalidFilter, match="deeper than 10"):
        parse_filter(data)
