"""The sentences that an untrained model reads, and when its own words hold."""

import unicodedata
from dataclasses import replace

import pytest

from rag_service.answering.quoting import (
    agrees,
    best_sentences,
    excerpts,
    holds,
    in_excerpts,
    rate_times_count,
)
from tests.fakes import FakeEmbedder
from tests.passages import passage

TEXT = (
    "The station has two diesel generators. At normal load Agnes burns 13 litres of diesel an hour. "
    "The café opens at 06:30."
)


def test_the_sentence_that_answers_comes_first() -> None:
    """It shares the question's words, and has a number where one is asked for."""
    found = best_sentences("How much diesel does Agnes burn?", [passage(1, TEXT)], FakeEmbedder())
    assert found[0] == "At normal load Agnes burns 13 litres of diesel an hour."


def test_sentences_without_any_of_the_questions_words_are_left_out() -> None:
    """Maybe that leaves none."""
    assert best_sentences("Who wrote Hamlet?", [passage(1, TEXT)], FakeEmbedder()) == []
    assert best_sentences("Who wrote Hamlet?", [], FakeEmbedder()) == []


def test_sentences_about_another_name_are_left_out() -> None:
    """What Agnes burns does not answer what Otto burns, however alike the questions are."""
    assert (
        best_sentences("How many litres does Otto burn in an hour?", [passage(1, TEXT)], FakeEmbedder()) == []
    )


def test_a_name_is_found_in_whatever_form_its_accents_are() -> None:
    """Texts of PDFs and of macOS often have letters and accents apart; the sentence comes as it stands."""
    text = unicodedata.normalize("NFD", "The Caf\u00e9 M\u00fcller opens at 06:30.")
    assert best_sentences("When does Caf\u00e9 M\u00fcller open?", [passage(1, text)], FakeEmbedder()) == [
        text
    ]


def test_a_sentence_that_begins_with_another_name_gives_way() -> None:
    """Where one about the name itself says as much; else it may be what answers, by a name of its own."""
    own, other = "At normal load Agnes burns 13 litres an hour.", "Bertil burns 15 litres an hour."
    text = f"The sets are Agnes and Bertil. {own} {other} It burns 9 litres an hour in summer."
    asked = "How many litres does Agnes burn in an hour?"
    found = best_sentences(asked, [passage(1, text)], FakeEmbedder())
    assert own in found
    assert other not in found
    assert "It burns 9 litres an hour in summer." in found
    alone = best_sentences(asked, [passage(1, text.replace(own, "Agnes is old."))], FakeEmbedder())
    assert other in alone


@pytest.mark.parametrize("line", ["| {} | {} | {} |", "{}\t{}\t{}"])
def test_a_row_is_about_what_the_first_row_of_its_table_names(line: str) -> None:
    """However far above that stands, and no further than the table."""
    rows = [("", "TS-40A", "TS-40B"), ("Range", 80, 125), ("Accuracy", 0.5, 0.2), ("Supply voltage", 3, 5)]
    text = "\n".join(line.format(*row) for row in rows) + "\n\nThe supply voltage of others is 9 volts."
    found = best_sentences("Which supply voltage has the TS-40A?", [passage(1, text)], FakeEmbedder())
    assert line.format(*rows[-1]) in found
    assert best_sentences("Which supply voltage has the TS-40C?", [passage(1, text)], FakeEmbedder()) == []
    assert not any("9 volts" in each for each in found)


def test_a_name_may_stand_two_sentences_before() -> None:
    """A pronoun carries it on, but not for ever."""
    text = "Otto is the third generator. It stands in the Ark. It burns 9 litres an hour. It burns no petrol."
    found = best_sentences("How many litres does Otto burn?", [passage(1, text)], FakeEmbedder())
    assert "It burns 9 litres an hour." in found
    assert "It burns no petrol." not in found


@pytest.mark.parametrize(
    ("said", "ok"),
    [
        ("It carries the circuits for 40 minutes.", True),
        ("The battery carries the essential circuits for 40 minutes.", True),
        ("The battery carries the essential circuits for 4 hours.", False),
        ("The battery does not carry the essential circuits for 40 minutes.", False),
        ("The battery carries the essential circuits for Bertil.", False),
        ("The battery carries the essential circuits.", False),
        ("", False),
    ],
)
def test_words_hold_if_they_say_nothing_but_the_source(said: str, *, ok: bool) -> None:
    """Other numbers, names and denials do not, nor a mere repetition of the question."""
    best, question = (
        "It carries the essential circuits for 40 minutes.",
        "How long can the battery carry them?",
    )
    assert holds(said, best, question.replace("them", "the essential circuits")) is ok


@pytest.mark.parametrize(
    ("question", "sentence", "expression"),
    [
        ("How many litres in 24 hours?", "Agnes burns 13 litres of diesel an hour.", "13*24"),
        ("How much is that for 3 kilometres?", "It takes 3.1 litres per kilometre.", "3.1*3"),
        ("How many litres does Agnes burn?", "Agnes burns 13 litres of diesel an hour.", None),
        ("How many in 24 hours?", "Agnes burns 13 litres an hour, Bertil 15.", None),
        ("How many buses in 3 days?", "The bus leaves at 06:30 each day.", None),
        ("Who was there for 24 hours?", "Agnes burns 13 litres of diesel an hour.", None),
        ("How many in 2 or 24 hours?", "Agnes burns 13 litres an hour.", None),
    ],
)
def test_a_rate_is_multiplied_only_where_nothing_is_doubtful(
    question: str, sentence: str, expression: str | None
) -> None:
    """One number in the source, one count of its unit in a question for a number."""
    assert rate_times_count(question, sentence) == expression


def test_a_small_model_reads_the_facts_and_their_neighbours() -> None:
    """From before the first fact of a passage to behind its last; passages in the order of the facts."""
    text = "One is here. Two is here. Three is here. Four is here. Five is here."
    one, other = passage(1, text), passage(2, "Six is here. Seven is here.")
    found = excerpts([one, other], ["Seven is here.", "Three is here.", "Unknown."])
    assert found == [
        (other, "Six is here. Seven is here."),
        (one, "Two is here. Three is here. Four is here."),
    ]


def test_a_sentence_cut_off_at_an_edge_is_found_where_it_stands() -> None:
    """In another passage its words are part of a longer sentence."""
    whole, cut = (
        passage(1, "Agnes burns 13 litres of diesel an hour. More."),
        passage(2, "Two. Agnes burns 13 litres"),
    )
    assert excerpts([whole, cut], ["Agnes burns 13 litres"]) == [(cut, "Two. Agnes burns 13 litres")]


def test_without_facts_whole_passages_are_read() -> None:
    """There is nothing to cut by."""
    one = passage(1, TEXT)
    assert in_excerpts([one], []) == [one]
    assert in_excerpts([one], ["The café opens at 06:30."])[0].chunk_id == 1


def test_a_heading_before_an_excerpt_goes() -> None:
    """It stands in the title; its number is no answer. Lines become one."""
    text = "## 5. Private calls\n\nEvery member has 45 free\nminutes. Films are not sent."
    one = replace(passage(1, text), heading_path=("5. Private calls",))
    (read,) = in_excerpts([one], ["Every member has 45 free\nminutes."])
    assert read.text == "Every member has 45 free minutes. Films are not sent."
    named = replace(passage(2, "Milo Berg keeps the\nboats."), heading_path=("Milo Berg",))
    (kept,) = in_excerpts([named], ["Milo Berg keeps the\nboats."])
    assert kept.text == "Milo Berg keeps the boats."


def test_an_answer_agrees_with_what_the_reader_found() -> None:
    """It shares a content word or a number; where nothing was found there is nothing to disagree with."""
    assert agrees("Agnes burns 13 litres [1].", "13 litres of diesel")
    assert not agrees("Sundays.", "from 15:00 to 17:00")
    assert agrees("Sundays.", "")
