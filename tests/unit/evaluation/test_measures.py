"""Measures on texts, against values worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.evaluation.measures import (
    contains_gold,
    estimate,
    exact_match,
    overlaps,
    token_f1,
    without_markers,
    words,
)


def test_words_lose_case_punctuation_and_articles() -> None:
    """The normal form is SQuAD's."""
    assert words("The  Lantern, a house; AN “Ark”.") == ["lantern", "house", "ark"]


def test_typographic_and_plain_signs_agree() -> None:
    """A minus sign and a hyphen, a typographic and a plain apostrophe leave the same words."""
    minus, apostrophe = "\N{MINUS SIGN}", "\N{RIGHT SINGLE QUOTATION MARK}"
    assert (
        words(f"{minus}45 °C, Maurstad{apostrophe}s")
        == words("-45 °C, Maurstad's")
        == ["45", "c", "maurstads"]
    )


def test_articles_inside_words_stay() -> None:
    """Only whole words are articles."""
    assert words("another theory") == ["another", "theory"]


def test_markers_are_no_part_of_an_answer() -> None:
    """A citation marker and the space before it go; other brackets stay."""
    assert without_markers("In Dunmarrow [1][12]. See [a].") == "In Dunmarrow. See [a]."


def test_exact_match_takes_any_gold_answer() -> None:
    """One accepted answer is enough, in normal form."""
    assert exact_match("the Stove Room.", ["kitchen", "stove room"])
    assert not exact_match("in the stove room", ["kitchen", "stove room"])


def test_contains_gold_needs_whole_words_in_one_piece() -> None:
    """No match inside a number or across other words."""
    assert contains_gold("It costs 85 crowns, I think.", ["85 crowns"])
    assert not contains_gold("It costs 185 crowns.", ["85 crowns"])
    assert not contains_gold("85 silver crowns", ["85 crowns"])


def test_nothing_contains_an_empty_gold_answer() -> None:
    """A gold answer without words matches nothing, and without gold nothing is right."""
    assert not contains_gold("anything", ["the"])
    assert not contains_gold("anything", [])


def test_f1_by_hand() -> None:
    """Two of four words are right and one of three is missing: F1 is 2 * 2 / (4 + 3)."""
    assert token_f1("fish soup with paprika", ["mother's fish soup"]) == pytest.approx(4 / 7)


def test_f1_counts_repeated_words_once_each() -> None:
    """A word said twice matches one gold word once: F1 is 2 * 1 / (2 + 1)."""
    assert token_f1("Agnes Agnes", ["Agnes"]) == pytest.approx(2 / 3)


def test_f1_takes_the_best_gold_answer() -> None:
    """The greatest value over the gold answers counts; none at all gives 0."""
    assert token_f1("Agnes", ["Bertil", "Agnes and Bertil", "Agnes"]) == 1.0
    assert token_f1("Agnes", []) == 0.0


def test_f1_of_empty_texts() -> None:
    """An empty answer matches an empty gold answer alone."""
    assert token_f1("", ["the"]) == 1.0
    assert token_f1("", ["Agnes"]) == 0.0


def test_overlap_is_half_of_the_shorter_text() -> None:
    """Four shared words in a row out of eight overlap, three do not."""
    gold = "one two three four five six seven eight"
    assert overlaps("one two three four x x x x", gold)
    assert not overlaps("one two three x x x x x", gold)


def test_a_quote_inside_a_longer_one_overlaps() -> None:
    """Length is judged by the shorter text."""
    assert overlaps(
        "keeper of the two diesel generators", "x " * 100 + "Keeper of the two diesel generators."
    )


def test_a_heading_does_not_overlap_its_sentence() -> None:
    """Two words are too few, though they are half of the heading; a gold text may itself be short."""
    gold = "Orson Kovacs is the keeper of the two diesel generators."
    assert not overlaps("Orson Kovacs, power engineer", gold)
    assert overlaps("Orson Kovacs, power engineer", "Orson Kovacs")


def test_texts_without_words_overlap_nothing() -> None:
    """Punctuation has no words."""
    assert not overlaps("...", "...")


def test_estimate_is_the_ratio_of_sums() -> None:
    """Three of four questions that count; the fifth does not."""
    found = estimate([(1, 1), (1, 1), (1, 1), (0, 1), (0, 0)])
    assert (found.value, found.count) == (0.75, 4)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.75 <= found.high


def test_estimate_of_nothing_is_none() -> None:
    """Where no question counts there is no share and no interval."""
    assert estimate([(0, 0), (0, 0)]).value is None
    assert estimate([]).value is None


def test_interval_of_a_constant_is_a_point() -> None:
    """Resampling equal values gives equal shares."""
    found = estimate([(1, 1)] * 10)
    assert (found.low, found.high) == (1.0, 1.0)


def test_interval_is_near_the_binomial_one() -> None:
    """For 50 of 100 the 95% interval is about 0.5 ± 1.96 * 0.05, and the same on every call."""
    shares = [(1, 1), (0, 1)] * 50
    found = estimate(shares)
    assert found.low == pytest.approx(0.402, abs=0.02)
    assert found.high == pytest.approx(0.598, abs=0.02)
    assert found == estimate(shares)


@given(st.text(), st.text())
def test_measures_stay_in_range_for_any_text(answer: str, gold: str) -> None:
    """F1 is between 0 and 1 and is 1 where the match is exact."""
    value = token_f1(answer, [gold])
    assert 0.0 <= value <= 1.0
    assert not exact_match(answer, [gold]) or value == 1.0
