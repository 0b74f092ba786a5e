"""What readers of a stream see before the answer was checked."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.answering.markers import Delta
from rag_service.api.live_text import LiveText


def shown(pieces: Sequence[str]) -> list[str]:
    """Return what comes out, piece by piece, and the rest at the end."""
    live = LiveText()
    return [each.text for piece in pieces for each in live.feed(Delta("text", piece))] + [
        each.text for each in live.flush()
    ]


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (["It is 14 ", "[1", "]", "."], "It is 14."),
        (["It is 14 [", "99", "]. More [2] text"], "It is 14. More text"),
        (["Nested [", "[1]", "2] goes"], "Nested goes"),
        (["See [3[1", "]2] there"], "See there"),
        (["Cut off [1, 2"], "Cut off"),
        (["a [link] and [", "words", "] stay "], "a [link] and [words] stay"),
        (["Both [" + ", ".join(map(str, range(60))), "] go."], "Both go."),
    ],
)
def test_no_marker_is_shown(pieces: list[str], text: str) -> None:
    """Whole, in pieces, nested, cut off or long, a marker does not come out; other brackets do."""
    assert "".join(shown(pieces)) == text


@given(st.lists(st.text(alphabet="[]0123, a.\n", max_size=8), max_size=12))
def test_no_pieces_make_a_marker(pieces: list[str]) -> None:
    """However a text is cut, readers see no [n]."""
    assert re.search(r"\[\s*[0-9]+\s*\]", "".join(shown(pieces))) is None


@given(st.lists(st.text(alphabet="ab .\n", max_size=8), max_size=12))
def test_text_without_brackets_arrives_as_it_is(pieces: list[str]) -> None:
    """Only white space at the end is left out."""
    assert "".join(shown(pieces)) == "".join(pieces).rstrip()


def test_words_do_not_wait() -> None:
    """What can not become a marker is passed on at once."""
    assert shown(["One", " two", " three"]) == ["One", " two", " three"]


def test_steps_and_text_stay_apart() -> None:
    """What is held back of the one kind comes before the other."""
    live = LiveText()
    out = [
        *live.feed(Delta("reasoning", "As [1] says ")),
        *live.feed(Delta("text", "It is 14 [1].")),
        *live.flush(),
    ]
    assert out == [Delta("reasoning", "As says"), Delta("text", "It is 14.")]
