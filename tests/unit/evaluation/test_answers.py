"""Measures on replies, and the runner, against values worked out by hand."""

import json

import pytest

from rag_service.answering.conversation import user
from rag_service.evaluation.answers import Citation, Mode, Outcome, Reply, evaluate_answers, score
from rag_service.evaluation.measures import Estimate
from rag_service.evaluation.questions import Evidence, Question
from rag_service.evaluation.report import report_json, report_text

KEEPER = "Orson Kovacs is the keeper of the two diesel generators."
TOWN = "He was born in the harbour town of Dunmarrow."
SINGLE = Question(
    "q1", "single", (user("Who keeps them?"),), ("Orson Kovacs",), (Evidence("people", KEEPER),)
)
TWO = Question(
    "q2",
    "two_passage",
    (user("Where was their keeper born?"),),
    ("Dunmarrow",),
    (Evidence("energy", KEEPER), Evidence("people", TOWN)),
)
NEAR_MISS = Question("q3", "unanswerable", (user("How old is he?"),))
REFUSAL = Reply("I do not know.", refused=True, reason="insufficient")


def reply(text: str, *sources: tuple[str, str]) -> Reply:
    """Make an answer whose first marker points at the first source, and so on."""
    citations = []
    for number, (document, quote) in enumerate(sources, start=1):
        start = text.index(f"[{number}]")
        citations.append(Citation(start, start + 3, document, quote))
    return Reply(text, refused=False, citations=tuple(citations))


def measure(name: str, *outcomes: tuple[Question, Reply]) -> Estimate:
    """Return one measure over all the outcomes."""
    return score([Outcome(*each) for each in outcomes])[0].measures[name]


def test_a_refusal_scores_no_match_even_if_it_names_the_answer() -> None:
    """Refused, half right, right: F1 (0 + 2/3 + 1) / 3; the markers are no words."""
    refused = Reply("I will not say Orson Kovacs.", refused=True)
    half, right = reply("Orson"), reply("Orson Kovacs [1]", ("people", KEEPER))
    outcomes = [(SINGLE, refused), (SINGLE, half), (SINGLE, right)]
    assert measure("F1", *outcomes).value == pytest.approx((0 + 2 / 3 + 1) / 3)
    assert measure("exact match", *outcomes).value == pytest.approx(1 / 3)
    assert measure("contains gold", *outcomes).value == pytest.approx(1 / 3)


def test_matches_are_over_answerable_questions_alone() -> None:
    """An unanswerable question changes no match."""
    assert measure("F1", (SINGLE, reply("Orson Kovacs")), (NEAR_MISS, reply("He is 54."))).count == 1


def test_refusal_measures_by_hand() -> None:
    """Of four questions three are refused, two of them rightly; one unanswerable one is answered."""
    outcomes = [
        (SINGLE, REFUSAL),
        (NEAR_MISS, REFUSAL),
        (NEAR_MISS, REFUSAL),
        (NEAR_MISS, reply("He is 54.")),
        (TWO, reply("In Dunmarrow.")),
    ]
    assert measure("refusal precision", *outcomes).value == pytest.approx(2 / 3)
    assert measure("refusal recall", *outcomes).value == pytest.approx(2 / 3)
    assert measure("over-refusal", *outcomes).value == pytest.approx(1 / 2)
    assert measure("hallucination", *outcomes).value == pytest.approx(1 / 3)
    assert measure("wrong when answering", *outcomes).value == pytest.approx(1 / 2)


def test_refusal_precision_is_none_when_nothing_is_refused() -> None:
    """No refusal, no precision."""
    assert measure("refusal precision", (SINGLE, reply("Orson Kovacs"))).value is None


def test_citation_precision_is_the_mean_over_answers_that_cite() -> None:
    """One answer with one right citation of two, one without any, one refusal: 1/2 over one answer."""
    mixed = reply("Orson Kovacs [1][2].", ("people", KEEPER), ("shop", "A hat costs 85 crowns."))
    found = measure("citation precision", (SINGLE, mixed), (SINGLE, reply("Orson")), (SINGLE, REFUSAL))
    assert (found.value, found.count) == (0.5, 1)


def test_citations_under_an_unanswerable_question_are_wrong() -> None:
    """There is no gold evidence to point at."""
    assert measure("citation precision", (NEAR_MISS, reply("54 [1].", ("people", TOWN)))).value == 0.0


def test_a_citation_must_be_of_the_gold_document() -> None:
    """The same words elsewhere do not count."""
    assert measure("citation precision", (SINGLE, reply("Orson Kovacs [1].", ("rules", KEEPER)))).value == 0.0


def test_a_citation_of_another_sentence_with_the_answer_is_right() -> None:
    """Within the gold document, a quote that holds a gold answer will do."""
    other = "Wake Orson Kovacs if it rattles."
    assert measure("citation precision", (SINGLE, reply("Orson Kovacs [1].", ("people", other)))).value == 1.0


def test_citation_recall_is_the_share_of_supported_sentences() -> None:
    """A marker counts for the sentence before it, inside or behind its full stop: two of three."""
    text = "Orson Kovacs keeps them. [1] He likes it. Ask Orson Kovacs [2]."
    answer = reply(text, ("people", KEEPER), ("people", KEEPER))
    assert measure("citation recall", (SINGLE, answer)).value == pytest.approx(2 / 3)


def test_a_citation_may_span_its_sentence() -> None:
    """The service gives the cited sentence's span, with or without its marker: one of two is supported."""
    text = "Orson Kovacs keeps them [1]. He likes it."
    for end in (text.index(" [1]"), text.index(" He")):
        answer = Reply(text, refused=False, citations=(Citation(0, end, "people", KEEPER),))
        assert measure("citation recall", (SINGLE, answer)).value == pytest.approx(1 / 2)


def test_citation_recall_is_over_answered_answerable_questions() -> None:
    """Refusals and unanswerable questions have no supported sentences to find."""
    assert measure("citation recall", (SINGLE, REFUSAL), (NEAR_MISS, reply("54."))).value is None
    assert measure("citation recall", (SINGLE, reply("Orson Kovacs."))).value == 0.0


def test_evidence_recall_needs_every_gold_sentence() -> None:
    """One of two gold sentences is cited, then a refusal with none: (1/2 + 0) / 2."""
    half = reply("In Dunmarrow [1].", ("people", TOWN))
    assert measure("evidence recall", (TWO, half), (TWO, REFUSAL)).value == pytest.approx(1 / 4)


def test_right_and_cited_needs_both() -> None:
    """A right answer without a source and a wrong one with a source count for nothing."""
    outcomes = [
        (SINGLE, reply("Orson Kovacs [1].", ("people", KEEPER))),
        (SINGLE, reply("Orson Kovacs.")),
        (SINGLE, reply("Milo [1].", ("people", KEEPER))),
    ]
    assert measure("right and cited", *outcomes).value == pytest.approx(1 / 3)


def test_scores_come_for_all_and_for_each_kind() -> None:
    """Kinds are in order of first appearance."""
    scores = score([Outcome(NEAR_MISS, REFUSAL), Outcome(SINGLE, REFUSAL), Outcome(NEAR_MISS, REFUSAL)])
    assert [(each.kind, each.questions) for each in scores] == [
        ("all", 3),
        ("unanswerable", 2),
        ("single", 1),
    ]


def answer_from_documents_only(question: Question, mode: Mode) -> Reply:
    """Know the first question with retrieval, nothing else."""
    known = mode == "always" and question is SINGLE
    return reply("Orson Kovacs [1].", ("people", KEEPER)) if known else REFUSAL


def test_each_question_is_asked_in_each_mode_with_progress() -> None:
    """Modes stand side by side, and the caller hears of every reply."""
    steps: list[tuple[int, int]] = []
    always, never = evaluate_answers(
        [SINGLE, NEAR_MISS], answer_from_documents_only, progress=lambda *step: steps.append(step)
    )
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert [each.reply.refused for each in always.outcomes] == [False, True]
    assert [each.reply.refused for each in never.outcomes] == [True, True]
    assert always.scores[0].measures["exact match"].value == 1.0
    assert never.scores[0].measures["exact match"].value == 0.0


def test_the_text_report_sets_modes_side_by_side() -> None:
    """A row a measure, a column a mode, then a table by kind for each mode."""
    text = report_text(evaluate_answers([SINGLE, NEAR_MISS], answer_from_documents_only))
    lines = text.splitlines()
    assert lines[0].split("  ")[0] == "2 questions"
    assert "with retrieval" in lines[0]
    assert "without retrieval" in lines[0]
    assert any(line.startswith("exact match") and "1.00 [1.00, 1.00]" in line for line in lines)
    assert any("single (1)" in line and "unanswerable (1)" in line for line in lines)
    assert any(line.startswith("citation precision") and line.endswith("-") for line in lines)


def test_the_json_report_has_scores_and_outcomes() -> None:
    """A program finds each measure with its interval, and each single reply."""
    fields = report_json(evaluate_answers([SINGLE], answer_from_documents_only))
    report = json.loads(json.dumps(fields))
    assert report["always"]["scores"]["all"]["measures"]["F1"] == {
        "value": 1.0,
        "low": 1.0,
        "high": 1.0,
        "count": 1,
    }
    [outcome] = report["always"]["outcomes"]
    assert outcome["right"]
    assert outcome["citations"] == [{"document": "people", "quote": KEEPER, "right": True}]
    assert report["never"]["outcomes"][0]["reason"] == "insufficient"
