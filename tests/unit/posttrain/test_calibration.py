"""The evidence score against what is there, and reading with what a retriever finds."""

from pathlib import Path

import pytest

from posttrain.asking import as_retrieved
from posttrain.calibration import Judged, bins_of, brier_score, judge_evidence
from posttrain.data.reading import SQUAD, grounded_record
from posttrain.evaluate import evaluate
from posttrain.plots import draw_calibration
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.retrieval.passages import Passage
from tests.fakes import FakeChatModel, FakeEmbedder

PUMP = SourcePassage("squad-7", "The pump in the cellar burns 14 litres of oil.", "Pump")
COOK = SourcePassage("squad-8", "Pavel Lind cooks at the station all year.", "Cook")


def record(number: str, question: str, answers: list[str], passage: SourcePassage = PUMP) -> Record:
    """Return a reading record."""
    return grounded_record(number, question, passage, answers, split="dev", source=SQUAD)


RECORDS = [
    record("1", "What does the pump in the cellar burn?", ["14 litres of oil"]),
    record("2", "Who cooks at the station?", ["Pavel Lind"], COOK),
    record("3", "Who painted the Mona Lisa?", []),
    record("3-near-miss", "What does the pump in the cellar burn?", [], COOK),
]


def search(_question: str) -> list[Passage]:
    """Find the pump, whatever is asked."""
    return [as_retrieved(5, SourcePassage("doc_1", PUMP.text, "Pumps"))]


def test_bins_hold_score_against_truth(tmp_path: Path) -> None:
    """A score that is always right is at the diagonal's ends; a half has a Brier score of 1/4."""
    perfect = [Judged(float(n % 2), bool(n % 2)) for n in range(40)]
    bins = bins_of(perfect)
    assert [each.score for each in bins] == [each.there.value for each in bins] == [0.0] * 5 + [1.0] * 5
    assert brier_score(perfect).value == 0.0
    assert brier_score([Judged(0.5, there=True), Judged(0.5, there=False)]).value == 0.25
    assert [each.there.count for each in bins_of(perfect[:3])] == [1, 1, 1]
    assert bins_of([]) == []
    assert draw_calibration(perfect, tmp_path / "evidence.png")
    assert (tmp_path / "evidence.png").read_bytes().startswith(b"\x89PNG")


def test_evidence_is_judged_on_own_passages_and_on_what_is_found() -> None:
    """The retriever finds one of two gold passages; a record that lost its own is left out there."""
    own = list(judge_evidence(RECORDS, FakeEmbedder()))
    assert [each.there for each in own] == [True, True, False, False]
    found = list(judge_evidence(RECORDS, FakeEmbedder(), search))
    assert [each.there for each in found] == [True, False, False]
    assert found[0].score == pytest.approx(own[0].score)
    assert found[0].score > found[2].score


def test_reading_with_what_is_found_has_measures_of_its_own() -> None:
    """The stand-in quotes the first passage: right on the pump, wrong on the cook, and it never refuses."""
    measures = evaluate(FakeChatModel(), {"reading": RECORDS}, search=search).measures
    assert measures["retrieved: gold is found"].value == 0.5
    assert measures["retrieved: contains gold"].value == 0.5
    assert measures["retrieved: refusal recall"].value == 0.0
    assert measures["retrieved: citation precision"].value == pytest.approx(1 / 3)
    assert measures["retrieved: over-refusal"].count == 2
    assert measures["contains gold"].value == 1.0
