"""Near-duplicates: what counts as said again."""

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from rag_service.retrieval import duplicates
from rag_service.retrieval.duplicates import without_near_duplicates
from tests.passages import passage

LONG = "the station keeps its spare parts in the long hall behind the workshop and lists them in a green book"


def kept(*texts: str) -> list[int]:
    """Return the numbers of the texts that stay."""
    passages = [passage(number, text) for number, text in enumerate(texts)]
    return [each.chunk_id for each in without_near_duplicates(passages)]


def test_the_same_words_in_another_layout_are_left_out() -> None:
    """White space and punctuation do not make a new passage."""
    assert kept(LONG, LONG.replace(" ", "\n"), f"{LONG}!") == [0]


def test_accents_apart_from_their_letters_make_no_new_passage() -> None:
    """A text and its decomposed form say the same."""
    text = f"{LONG} of Zo\u00eb K\u00f6rner"
    assert kept(text, unicodedata.normalize("NFD", text)) == [0]


def test_another_number_or_name_makes_another_passage() -> None:
    """Records that differ in one figure or one name are kept."""
    record = f"{LONG} The pump costs 40 crowns and Ilse mends it."
    assert kept(record, record.replace("40", "41"), record.replace("Ilse", "Orson")) == [0, 1, 2]


def test_different_texts_stay_in_order() -> None:
    """Nothing is reordered, and texts without words do no harm."""
    assert kept("one two three four", "", "five six seven eight", "—") == [0, 1, 2]


@given(st.text(alphabet="aZ\u00e9\u00c9\u00df\u05d0\u4e00_ -1\u0663\u0301", max_size=30) | st.text())
def test_what_tells_texts_apart_is_found_as_by_the_plain_pattern(text: str) -> None:
    """The pattern that is quick finds what this one finds."""
    plain = re.compile(r"\w*\d\w*|[^\W\d_a-z]\w+")
    assert duplicates._TELLING.findall(text) == plain.findall(text)
