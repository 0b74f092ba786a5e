"""Citations: what holds is cited exactly, what does not is told."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_service.answering.citations import CitedAnswer, cite_answer, cite_sentences
from rag_service.retrieval.passages import Passage
from tests.fakes import FakeEmbedder
from tests.passages import passage

HANDBOOK = (
    "Orson Kovacs has kept the station's two diesel generators since 2019. Each burns 14 litres an hour.\n\n"
    "The station lies at 71.3° south. Its café, run by Ilse Brandt, opens at 06:30 on weekdays. "
    "Visitors may not enter the engine hall."
)
SURVEY = "Penguins are counted each March. The count of 2021 found 4,210 pairs, fewer than in 2018."
OFFSET = 100
PASSAGES = (
    passage(1, SURVEY, document_id="doc_survey"),
    passage(2, HANDBOOK, document_id="doc_handbook", start=OFFSET),
)


def cite(answer: str, question: str = "", known_numbers: tuple[str, ...] = ()) -> CitedAnswer:
    """Cite an answer against the two passages."""
    return cite_answer(answer, PASSAGES, FakeEmbedder(256), question=question, known_numbers=known_numbers)


def test_a_wrong_marker_is_repaired_to_the_sentence_that_holds() -> None:
    """The model named the survey; the handbook's sentence is cited, with offsets of the document."""
    cited = cite("Orson Kovacs has kept the generators since 2019 [1].")
    (citation,) = cited.citations
    assert cited.text == "Orson Kovacs has kept the generators since 2019 [1]."
    assert citation.passage.document_id == "doc_handbook"
    assert citation.quote == "Orson Kovacs has kept the station's two diesel generators since 2019."
    assert HANDBOOK[citation.source_start - OFFSET : citation.source_end - OFFSET] == citation.quote
    assert citation.verification.status == "supported"


def test_a_sentence_without_marker_is_cited() -> None:
    """What the model left unmarked and the passages say gets its citation."""
    cited = cite("Each burns 14 litres an hour.")
    assert cited.text == "Each burns 14 litres an hour [1]."
    assert cited.citations[0].verification.status == "exact"


def test_words_whose_accents_are_in_another_form_stand_in_the_source() -> None:
    """A composed answer is exact from a decomposed source, and the quote is as the source has it."""
    source = unicodedata.normalize("NFD", "The caf\u00e9 of Zo\u00eb opens at 06:30.")
    answer = unicodedata.normalize("NFC", source)
    (citation,) = cite_answer(answer, [passage(1, source)], FakeEmbedder(256)).citations
    assert citation.verification.status == "exact"
    assert citation.quote == source


def test_a_few_words_of_a_sentence_that_denies_deny_nothing() -> None:
    """Where nobody may enter is a fair answer from what forbids it; a whole statement is held against it."""
    question = "Where may visitors not enter?"
    cited = cite("The engine hall.", question=question)
    assert cited.citations[0].quote == "Visitors may not enter the engine hall."
    assert not cite("Visitors may enter the engine hall.", question=question).citations


def test_numbers_out_of_range_never_remain() -> None:
    """Markers that name no passage vanish; citations are numbered from 1 in order."""
    cited = cite("Each burns 14 litres an hour [7]. The count of 2021 found 4,210 pairs [0][99].")
    assert cited.text == "Each burns 14 litres an hour [1]. The count of 2021 found 4,210 pairs [2]."
    assert [citation.id for citation in cited.citations] == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        "Each burns 15 litres an hour [2].",
        "The café opens at 07:30 on weekdays [2].",
        "Ilse Brandt has kept the station's two diesel generators since 2019 [2].",
        "The café is run by Marta Lindqvist and opens at 06:30 on weekdays [2].",
        "Visitors may enter the engine hall [2].",
    ],
)
def test_a_changed_fact_loses_its_citation(answer: str) -> None:
    """Another number, another name or a dropped "not" makes a sentence unsupported."""
    cited = cite(answer)
    assert cited.citations == ()
    assert "[" not in cited.text
    assert cited.groundedness.unsupported_spans == ((0, len(cited.text)),)
    assert cited.groundedness.score < 0.5


@pytest.mark.parametrize("answer", ["The count of 2021 found 4210 pairs.", "At 6:30.", "Two generators."])
def test_another_way_to_write_a_number_is_the_same_number(answer: str) -> None:
    """Separators, leading zeros and words do not matter."""
    assert cite(answer, "When, or how many?").citations


def test_a_sentence_that_joins_two_sources_cites_both() -> None:
    """One claim, two documents, two citations on it."""
    cited = cite("Orson Kovacs keeps the diesel generators, and the count of 2021 found 4,210 pairs.")
    assert {citation.passage.document_id for citation in cited.citations} == {"doc_survey", "doc_handbook"}
    assert cited.text.endswith("pairs [1] [2].")


def test_a_result_of_the_calculator_needs_no_source() -> None:
    """28 stands nowhere, but the calculator said so."""
    answer = "Each burns 14 litres an hour, 28 litres together."
    assert cite(answer).citations == ()
    assert cite(answer, known_numbers=("28",)).citations


def test_courtesies_are_no_claims() -> None:
    """Nothing to support, nothing to report."""
    cited = cite("You're welcome! Do you need more? The passages do not mention the price.")
    assert cited.citations == ()
    assert cited.groundedness.unsupported_spans == ()
    assert cited.groundedness.score == 1.0


def test_without_passages_every_claim_is_unsupported() -> None:
    """Markers go, spans are reported, the score is at the bottom."""
    cited = cite_answer("Paris is the capital of France [1].", (), FakeEmbedder())
    assert cited.text == "Paris is the capital of France."
    assert cited.groundedness.unsupported_spans == ((0, 31),)
    assert cited.groundedness.score < 0.01


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(min_size=1, max_size=80), max_size=3),
    answer=st.text(max_size=120)
    | st.lists(st.sampled_from([HANDBOOK[:70], SURVEY, "[1]", "[9]", " ", "\n- ", "No."])).map("".join),
)
def test_offsets_and_markers_agree_for_any_text(texts: list[str], answer: str) -> None:
    """content[source_start:source_end] == quote; every [n] has its citation and every citation its [n]."""
    passages: list[Passage] = [
        *PASSAGES,
        *(passage(10 + n, text, document_id=f"doc_{n}", start=n) for n, text in enumerate(texts)),
    ]
    cited = cite_answer(answer, passages, FakeEmbedder())
    for citation in cited.citations:
        source = citation.passage
        assert (
            source.text[citation.source_start - source.start : citation.source_end - source.start]
            == citation.quote
        )
        assert citation.quote
        assert f"[{citation.id}]" in cited.text[citation.start : citation.end]
    marked = [int(number) for number in re.findall(r"\[([0-9]+)\]", cited.text)]
    assert marked == [citation.id for citation in cited.citations] == list(range(1, len(marked) + 1))
    assert all(cited.text[start:end] for start, end in cited.groundedness.unsupported_spans)
    assert 0 <= cited.groundedness.score <= 1


def test_a_model_for_entailment_takes_the_place_of_the_score() -> None:
    """It is asked about source and claim; exact words and conflicts are decided without it."""
    asked: list[tuple[str, str]] = []

    def entails(source: str, claim: str) -> float:
        asked.append((source, claim))
        return 0.1

    said = "The generators are kept by Orson Kovacs since 2019."
    answer = f"{said} Each burns 14 litres an hour. Each burns 15 litres an hour."
    cited = cite_answer(answer, PASSAGES, FakeEmbedder(256), entails=entails)
    (citation,) = cited.citations
    assert citation.verification.status == "exact"
    assert [claim for _, claim in asked] == [said]
    assert asked[0][0].startswith("Orson Kovacs has kept")
    sure = cite_answer(said, PASSAGES, FakeEmbedder(256), entails=lambda _source, _claim: 0.9)
    assert sure.citations[0].verification.score == 0.9


def test_sentences_that_an_answer_rests_on_are_cited_beside_its_own() -> None:
    """Where the claim holds; the same sentence not twice."""
    own, other = "Each burns 14 litres an hour.", "Penguins are counted each March."
    cited = cite_answer(
        own, PASSAGES, FakeEmbedder(256), rests_on=(("doc_handbook", own), ("doc_survey", other))
    )
    assert [each.quote for each in cited.citations] == [own, other]
    assert [each.verification.status for each in cited.citations] == ["exact", "supported"]
    assert cited.text == "Each burns 14 litres an hour [1] [2]."
    wrong = cite_answer(
        "Whales sing in the deep.",
        PASSAGES,
        FakeEmbedder(256),
        rests_on=(("doc_handbook", own), ("doc_survey", other)),
    )
    assert wrong.citations == ()


def test_sentences_that_an_answer_was_worked_out_from_are_cited_once_each() -> None:
    """In the order of the passages, with their offsets, however often they stand there."""
    twice = passage(3, "Agnes burns 9 litres. Tea is free. Agnes burns 9 litres.", document_id="doc_notes")
    rests_on = {
        ("doc_notes", "Agnes burns 9 litres."): 0.5,
        ("doc_handbook", "Each burns 14 litres an hour."): 0.75,
    }
    cited = cite_sentences("Agnes.", [*PASSAGES, twice], rests_on)
    assert cited is not None
    assert cited.text == "Agnes [1] [2]."
    assert [each.quote for each in cited.citations] == [
        "Each burns 14 litres an hour.",
        "Agnes burns 9 litres.",
    ]
    assert [cited.text[each.start : each.end] for each in cited.citations] == [cited.text] * 2
    assert cited.citations[0].source_start == OFFSET + HANDBOOK.index("Each")
    assert cited.citations[1].source_start == 0
    assert [each.verification.score for each in cited.citations] == [0.75, 0.5]
    assert cited.groundedness.score == 0.5


def test_without_all_its_sentences_an_answer_is_not_worked_out() -> None:
    """One that a passage's edge cut off is no sentence."""
    cut = passage(3, "Agnes burns 9 litres. and more words here.", document_id="doc_notes")
    rests_on = {("doc_notes", "Agnes burns 9 litres and"): 0.5}
    assert cite_sentences("Agnes.", [cut], rests_on) is None
