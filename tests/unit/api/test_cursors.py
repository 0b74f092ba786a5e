"""Cursors are opaque, and only ours are taken."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import InvalidCursor
from corpus.ids import new_id
from rag_service.api.cursors import cut_page, encode_cursor, id_after, position_after


def test_cursor_brings_the_place_back() -> None:
    """What was encoded is decoded; no cursor is the beginning."""
    place = new_id("doc")
    assert id_after(encode_cursor(place)) == place
    assert position_after(encode_cursor("17")) == 17
    assert (id_after(None), position_after(None)) == (None, -1)


@given(st.text(max_size=50))
def test_foreign_cursor_is_refused(cursor: str) -> None:
    """Any text is either a place or an InvalidCursor, never another error."""
    for decode in (id_after, position_after):
        try:
            decode(cursor)
        except InvalidCursor as error:
            assert str(error).startswith("cursor:")  # noqa: PT017 - most texts raise it, some do not


def test_cursor_of_another_list_is_refused() -> None:
    """A position is no id and an id no position."""
    with pytest.raises(InvalidCursor):
        position_after(encode_cursor(new_id("doc")))
    with pytest.raises(InvalidCursor):
        id_after(encode_cursor("17"))


def test_page_ends_with_its_cursor() -> None:
    """One row more than asked for means that there is a next page."""
    assert cut_page([1, 2, 3], 2, lambda row: row) == ([1, 2], encode_cursor("2"))
    assert cut_page([1, 2], 2, lambda row: row) == ([1, 2], None)
    assert cut_page([], 2, lambda row: row) == ([], None)
