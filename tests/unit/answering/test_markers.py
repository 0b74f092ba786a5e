"""Markers in generated text, which arrives in pieces."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.answering.markers import (
    CONTROL_TOKENS,
    Call,
    Delta,
    Marker,
    Scanner,
    TurnReader,
    without_control_tokens,
)

pieces = st.lists(
    st.one_of(st.sampled_from(["<SEARCH_START>", "<SEARCH_", "END>", "<"]), st.text(max_size=5))
)


@given(pieces, st.integers(1, 7))
def test_nothing_is_lost_and_the_cut_does_not_matter(texts: list[str], step: int) -> None:
    """However the text is cut, the same strings are found and everything comes out in order."""
    whole = "".join(texts)
    found = _scan([whole])
    assert "".join(text for text, _ in found) == whole
    assert _joined(_scan([whole[n : n + step] for n in range(0, len(whole), step)])) == _joined(found)


def _scan(texts: list[str]) -> list[tuple[str, bool]]:
    scanner = Scanner(["<SEARCH_START>", "<SEARCH_END>"])
    found = [item for text in texts for item in scanner.feed(text)]
    return [*found, (scanner.flush(), False)]


def _joined(found: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    joined: list[tuple[str, bool]] = []
    for text, wanted in found:
        if joined and not wanted and not joined[-1][1]:
            joined[-1] = (joined[-1][0] + text, False)
        elif text:
            joined.append((text, wanted))
    return joined


def test_text_before_a_possible_marker_is_not_held_back() -> None:
    """Only what may become a marker waits."""
    scanner = Scanner(["<SEARCH_END>"])
    assert list(scanner.feed("abc <SEA")) == [("abc ", False)]
    assert list(scanner.feed("T")) == [("<SEAT", False)]


def test_of_two_that_begin_together_the_longer_is_found() -> None:
    """A stop string may be the beginning of another."""
    assert list(Scanner(["ab", "abc"]).feed("xabc")) == [("x", False), ("abc", True)]


def _read(*items: str | Marker) -> list[Delta | Call]:
    reader, out = TurnReader(), list[Delta | Call]()
    for item in items:
        out += reader.marker(item) if isinstance(item, Marker) else reader.text(item)
    return [*out, *reader.finish()]


def test_a_search_is_a_call_and_its_query_is_not_shown() -> None:
    """The query goes to the search, not into the answer."""
    read = _read("Let me see. ", Marker.SEARCH_START, "gene", "rators", Marker.SEARCH_END, "Two.")
    assert read == [Delta("text", "Let me see. "), Call("search", "generators"), Delta("text", "Two.")]


def test_reasoning_and_refusals_are_kept_apart() -> None:
    """Each piece says what it is."""
    read = _read(Marker.THINK_START, "a", Marker.THINK_END, "b", Marker.REFUSAL, "c")
    assert read == [Delta("reasoning", "a"), Delta("text", "b"), Delta("refusal", "c")]


@pytest.mark.parametrize(
    "stray", [Marker.SEARCH_END, Marker.CALC_END, Marker.RESULT_START, Marker.RESULT_END]
)
def test_a_marker_out_of_place_is_dropped(stray: Marker) -> None:
    """A confused model's markers never reach the reader."""
    assert _read("a", stray, "b") == [Delta("text", "a"), Delta("text", "b")]


def test_a_call_that_is_not_closed_says_so() -> None:
    """The turn ended inside a call, or the call grew beyond all bounds."""
    assert _read(Marker.CALC_START, "1+") == [Call("calculate", "1+", closed=False)]
    assert _read(Marker.SEARCH_START, "x" * 3000, "y") == [
        Call("search", "x" * 3000, closed=False),
        Delta("text", "y"),
    ]


def test_control_tokens_that_a_model_spells_out_are_not_shown() -> None:
    """A space takes their place; calls keep theirs, and what sources say may be repeated."""
    call = Call("search", "<CALC_END>")
    said = [Delta("text", "It ends <|im_"), Delta("text", "end|> with <REFUSAL>"), call, Delta("text", "<")]
    shown = list(without_control_tokens(said, ["A refusal begins with <REFUSAL>."]))
    assert _text(shown[: shown.index(call)]) == "It ends   with <REFUSAL>"
    assert _text(shown[shown.index(call) + 1 :]) == "<"


@given(
    st.lists(st.sampled_from([*CONTROL_TOKENS, "<|im_", "end|>", "<", "CALC_END>", "x"])), st.integers(1, 9)
)
def test_no_text_around_a_token_makes_another(texts: list[str], step: int) -> None:
    """However they are nested and cut, none comes out."""
    whole = "".join(texts)
    said = [Delta("text", whole[n : n + step]) for n in range(0, len(whole), step)]
    shown = _text(list(without_control_tokens(said, [])))
    assert not any(token in shown for token in CONTROL_TOKENS)


def _text(said: list[Delta | Call]) -> str:
    return "".join(each.text for each in said if isinstance(each, Delta))
