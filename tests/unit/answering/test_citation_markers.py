"""Markers: taken out and put back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.answering.citation_markers import Marker, put_markers, take_markers


@pytest.mark.parametrize(
    ("answer", "plain", "numbers"),
    [
        ("It is 14 [1].", "It is 14.", [{1}]),
        ("It is 14. [1][2] More.", "It is 14. More.", [{1}, {2}]),
        ("Both [1, 3] and [5-7]", "Both and", [{1, 3}, {5, 6, 7}]),
        ("As [Passage 2] and [source 3] say", "As and say", [{2}, {3}]),
        ("A range too long [1-900000000]", "A range too long", [{1, 900000000}]),
        ("Nested [[1]2] goes", "Nested goes", [{1}, {2}]),
        ("With room [ 4 ] inside", "With room inside", [{4}]),
        ("Cut off [1] at [2", "Cut off at", [{1}]),
        ("Cut off [passage", "Cut off", []),
        ("Cut off [[1]", "Cut off", [{1}]),
        ("a[i] and [x] and [] stay", "a[i] and [x] and [] stay", []),
    ],
)
def test_every_form_of_marker_is_taken_out(answer: str, plain: str, numbers: list[set[int]]) -> None:
    """Numbers alone or in lists, ranges and words, cut off or not; other brackets stay."""
    found, markers = take_markers(answer)
    assert found == plain
    assert [set(marker.numbers) for marker in markers] == numbers


def test_positions_count_in_the_plain_text() -> None:
    """The second marker's place does not count the first one."""
    assert take_markers("One [1]. Two [2].")[1] == [Marker(3, frozenset({1})), Marker(8, frozenset({2}))]


@given(st.text(alphabet="[]0123, a.\n", max_size=60))
def test_no_marker_is_left(text: str) -> None:
    """Whatever brackets and figures an answer has, no [n] survives, and positions lie in the text."""
    plain, markers = take_markers(text)
    assert re.search(r"\[[0-9]+\]", plain) is None
    assert all(0 <= marker.position <= len(plain) for marker in markers)


def test_markers_stand_before_the_full_stop() -> None:
    """The new spans hold the sentence and its markers."""
    text = 'He said "one." Two!'
    marked, spans = put_markers(text, {(0, 14): [1, 2], (15, 19): [3]})
    assert marked == 'He said "one [1] [2]." Two [3]!'
    assert {key: marked[start:end] for key, (start, end) in spans.items()} == {
        (0, 14): 'He said "one [1] [2]."',
        (15, 19): "Two [3]!",
    }


def test_a_sentence_without_citations_keeps_its_words() -> None:
    """Only its span moves."""
    assert put_markers("A. B.", {(0, 2): [1], (3, 5): []}) == ("A [1]. B.", {(0, 2): (0, 6), (3, 5): (7, 9)})
