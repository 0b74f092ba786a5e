"""Terms of a text: numbers in one form, names, negation, content words."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag_service.retrieval.numbers import number_words_in, numbers_in
from rag_service.retrieval.terms import terms_of


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,200 and 1\u202f200 and 1200.00", {"1200"}),
        ("at 06:30, not 6:30", {"6:30"}),
        ("12 March 2019, or 2019-03-12", {"12", "march", "2019"}),
        ("Sept. 4, 1990", {"september", "4", "1990"}),
        ("1.5 million", {"1500000"}),
        ("3 thousand-odd", {"3000"}),
        ("71,3 and 71.3°", {"71.3"}),
        ("version 1.2.3", {"1.2.3"}),
        ("the 1990s, 3rd, 14km", {"1990", "3", "14"}),
        ("They may march", set()),
        ("007", {"7"}),
    ],
)
def test_numbers_have_one_form(text: str, numbers: set[str]) -> None:
    """However they are written."""
    assert numbers_in(text) == numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("two generators", {"2"}),
        ("Twenty-one people", {"21"}),
        ("one hundred and twelve thousand", {"100", "12000"}),
        ("one of them, often", set()),
    ],
)
def test_numbers_in_words(text: str, numbers: set[str]) -> None:
    """With their scales; "one" alone counts nothing."""
    assert number_words_in(text) == numbers


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Orson Kovacs keeps the Vostrel station.", {"orson", "kovacs", "vostrel"}),
        ("Generators burn fuel. Each burns much.", set()),
        ("In May, Ilse's NATO form FL-600 and B12", {"ilse", "nato", "fl", "b12"}),
        ("It ran 14km in the 1990s", set()),
        ("The sensor TS-40B weighs 40g, not 4-6g", {"ts", "40b"}),
    ],
)
def test_names_are_capitals_within_sentences(text: str, names: set[str]) -> None:
    """And codes; the first word of a sentence is one only when another name follows."""
    assert terms_of(text).names == names


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("the WiFi", "the Wi-Fi password"),
        ("of TS40B", "The TS-40B is waterproof."),
        ("by Jose Garcia", "It was built by José García."),
        ("in Dusseldorf", "An office in Düsseldorf"),
    ],
)
def test_a_name_is_found_without_its_hyphen_and_its_accents(asked: str, said: str) -> None:
    """Who asks seldom types them; another code or name is not found."""
    assert terms_of(asked).names <= terms_of(said).words
    assert not terms_of("the TS-40C of José Ruiz").names <= terms_of(said).words


@pytest.mark.parametrize(
    ("text", "negated"),
    [("It is not so.", True), ("It isn't.", True), ("Nobody came.", True), ("A notable knot.", False)],
)
def test_negation(text: str, negated: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Whole words and the ending n't deny."""
    assert terms_of(text).negated is negated


def test_content_words_are_stemmed_and_in_order() -> None:
    """Stopwords, figures and single letters are left out."""
    assert terms_of("The generators of plan B burned 14 litres").stems == ("generat", "plan", "burn", "litr")


@given(st.text(max_size=200))
def test_any_text_has_terms(text: str) -> None:
    """Nothing fails, and the same text gives the same terms."""
    assert terms_of(text) == terms_of.__wrapped__(text)


def test_accents_apart_from_their_letters_make_the_same_terms() -> None:
    """A decomposed text has the words and names of its composed form."""
    text = "L\u00e9onie runs the Caf\u00e9 Z\u00e9ro of \u0160imon \u00c5s"
    assert terms_of(unicodedata.normalize("NFD", text)) == terms_of(text)
    assert {"caf\u00e9", "z\u00e9ro"} <= terms_of(text).names


def test_scripts_without_spaces_compare_by_pairs_of_characters() -> None:
    """A Chinese question shares terms with the sentence that answers it; numbers stand apart."""
    asked, said = terms_of("\u6cb9\u7bb1\u591a\u5927?"), terms_of("\u6cb9\u7bb1\u670980\u5347\u3002")
    assert set(asked.stems) & set(said.stems) == {"\u6cb9\u7bb1"}
    assert said.numbers == {"80"}
    assert said.names == frozenset()
