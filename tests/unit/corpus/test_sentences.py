"""Where sentences end."""
# ruff: noqa: RUF001 - the marks of all scripts are the subject

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    """Return the sentences themselves."""
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "expected",
    [
        ["The station lies at 71.3° south.", "Its café opens at 06:30."],
        ["Dr. Brandt pays 3.14 kr. a litre.", "Then she leaves."],
        ["J. R. R. Tolkien met Mr. Kovacs.", "They spoke."],
        ["See e.g. Appendix B.", "It lists No. 5 and fig. 3."],
        ["He left... and came back.", "Nobody knew."],
        ['"Stop!" he said.', '"Go."', "Then?"],
        ["It began in the U.S. Army.", "The rest followed at 6 p.m.", "Then all slept."],
        ["A claim.[36]", "Another (in brackets.)", "Last one"],
        ["Each has served since 2019.", "Nobody complained."],
        ["Yahoo! is a firm.", "Really?!", "Yes…", "No."],
    ],
)
def test_sentences_on_one_line(expected: list[str]) -> None:
    """Full stops of abbreviations, initials, numbers and ellipses end no sentence; the others do."""
    assert sentences(" ".join(expected)) == expected


@pytest.mark.parametrize(
    "expected",
    [
        ["今日は良い天気です。", "明日は？", "「行く。」", "と言った。"],
        ["यह पहला वाक्य है।", " यह दूसरा है।"],
        ["هل هذا سؤال؟", " نعم."],
    ],
)
def test_full_stops_of_other_scripts(expected: list[str]) -> None:
    """Other scripts' stops end sentences; the CJK ones without a space after them."""
    assert sentences("".join(expected)) == [sentence.strip() for sentence in expected]


def test_wrapped_lines_are_one_sentence() -> None:
    """A line break that only the width of the page made ends nothing."""
    text = "The generators burn fourteen litres an hour and are\nkept by Orson Kovacs. He sleeps\nnearby."
    assert sentences(text) == [text[: text.index(" He")], "He sleeps\nnearby."]


@pytest.mark.parametrize(
    "lines",
    [
        ["Fuel prices of the year", "Diesel costs 3 kr."],
        ["- the first item of a list that is long enough to be wrapped", "- the second"],
        ["1. Turn the pump off and wait until the pressure has fallen", "2. Open it"],
        ["Name of the pump in the cellar of the house\tprice", "Pump A\t3"],
        ["# A heading of more than forty characters, all told", "and its text"],
    ],
)
def test_line_breaks_with_a_meaning_end_sentences(lines: list[str]) -> None:
    """Short lines, list items, table rows and headings stand alone."""
    assert sentences("\n".join(lines)) == lines


def test_blank_line_ends_a_sentence() -> None:
    """A paragraph's end is a sentence's end, full stop or not."""
    assert sentences("no stop here\n\nand none here") == ["no stop here", "and none here"]


def test_listing_without_stops_is_cut_at_its_lines() -> None:
    """Many long lines without a full stop do not become one endless sentence."""
    text = "\n".join(f"{number} the quick brown fox jumps over the lazy dog again" for number in range(200))
    assert max(len(sentence) for sentence in sentences(text)) <= 700


@given(
    st.text(alphabet=st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(' .!?\n"A。1[]')))
)
def test_spans_cover_the_text(text: str) -> None:
    """Spans are in order, apart, trimmed, and leave out nothing but white space."""
    end_before = 0
    covered = bytearray(len(text))
    for start, end in sentence_spans(text):
        assert end_before <= start < end
        assert text[start:end] == text[start:end].strip()
        covered[start:end] = b"x" * (end - start)
        end_before = end
    assert all(covered[at] or character.isspace() for at, character in enumerate(text))
