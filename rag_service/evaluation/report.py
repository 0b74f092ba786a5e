"""An answer evaluation as text for people and as JSON for programs."""

from collections.abc import Sequence

from rag_service.evaluation.answers import (
    MEASURES,
    Mode,
    ModeReport,
    Outcome,
    Scores,
    is_right,
    right_citations,
)
from rag_service.evaluation.measures import Estimate

_MODE_TITLES: dict[Mode, str] = {"always": "with retrieval", "never": "without retrieval"}


def report_text(reports: Sequence[ModeReport]) -> str:
    """Return the modes side by side with 95% intervals, then each mode by kind of question."""
    return "\n\n".join([_side_by_side(reports), *(_by_kind(report) for report in reports)])


def _side_by_side(reports: Sequence[ModeReport]) -> str:
    count = reports[0].scores[0].questions
    header = [f"{count} questions", *(_MODE_TITLES[report.mode] for report in reports)]
    rows = [
        [name, *(_with_interval(report.scores[0].measures[name]) for report in reports)] for name in MEASURES
    ]
    return _table([header, *rows])


def _by_kind(report: ModeReport) -> str:
    header = [_MODE_TITLES[report.mode], *(f"{each.kind} ({each.questions})" for each in report.scores)]
    rows = [[name, *(_value(each.measures[name]) for each in report.scores)] for name in MEASURES]
    return _table([header, *rows])


def _with_interval(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return _value(found)
    return f"{_value(found)} [{found.low:.2f}, {found.high:.2f}]"


def _value(found: Estimate) -> str:
    return "-" if found.value is None else f"{found.value:.2f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    rule = "  ".join("-" * width for width in widths)
    return "\n".join([lines[0], rule, *lines[1:]])


def report_json(reports: Sequence[ModeReport]) -> dict[str, object]:
    """Return scores and single outcomes for JSON: {mode: {"scores": {kind: …}, "outcomes": […]}}."""
    return {
        report.mode: {
            "scores": {each.kind: _scores_fields(each) for each in report.scores},
            "outcomes": [_outcome_fields(each) for each in report.outcomes],
        }
        for report in reports
    }


def _scores_fields(scores: Scores) -> dict[str, object]:
    measures = {
        name: {"value": found.value, "low": found.low, "high": found.high, "count": found.count}
        for name, found in scores.measures.items()
    }
    return {"questions": scores.questions, "measures": measures}


def _outcome_fields(outcome: Outcome) -> dict[str, object]:
    question, reply = outcome.question, outcome.reply
    right = right_citations(outcome)
    citations = [
        {"document": each.document, "quote": each.quote, "right": each in right} for each in reply.citations
    ]
    return {
        "id": question.id,
        "kind": question.kind,
        "question": question.text,
        "gold": list(question.answers),
        "answer": reply.text,
        "refused": reply.refused,
        "reason": reply.reason,
        "right": is_right(outcome),
        "citations": citations,
        "seconds": round(reply.seconds, 3),
    }
