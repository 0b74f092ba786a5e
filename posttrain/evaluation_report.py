"""The answerer's table as Markdown for people and JSON for programs; two evaluations side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import sha256
from pathlib import Path

from corpus.errors import InvalidRecord
from posttrain.evaluate import Evaluation, Reaction
from rag_service.evaluation.measures import Estimate


def evaluation_json(evaluation: Evaluation, files: Sequence[Path]) -> str:
    """Return an evaluation, with the hashes of its sets, so that only like is compared with like."""
    fields = asdict(evaluation) | {"sets": _hashes(files)}
    return json.dumps(fields, ensure_ascii=False, indent=1) + "\n"


def _hashes(files: Sequence[Path]) -> dict[str, str]:
    return {path.stem: sha256(path.read_bytes()).hexdigest() for path in files}


def read_evaluation(path: Path, files: Sequence[Path] = ()) -> Evaluation:
    """Read what `evaluation_json` made.

    Raises:
        InvalidRecord: it is none, or its sets are others than `files`, if these are given.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        sets = fields.pop("sets")
        measures = {name: Estimate(**found) for name, found in fields.pop("measures").items()}
        reactions = tuple(
            Reaction(**each | {"shares": {name: tuple(share) for name, share in each["shares"].items()}})
            for each in fields.pop("reactions")
        )
        evaluation = Evaluation(measures=measures, reactions=reactions, **fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRecord(f"{path.name} is no evaluation; make it with `rag-train eval`.") from error
    if files and sets != _hashes(files):
        raise InvalidRecord(f"{path.name} is of other evaluation sets; evaluate both models on the same.")
    return evaluation


def evaluation_markdown(evaluations: Sequence[Evaluation]) -> str:
    """Return a table: a row a measure, a column a model; the number of items, 95% bootstrap intervals."""
    names = list(dict.fromkeys(name for each in evaluations for name in each.measures))
    heading = " | ".join(each.model for each in evaluations)
    lines = [f"| measure | items | {heading} |", "|---|--:|" + "---|" * len(evaluations)]
    for name in names:
        found = [each.measures.get(name) for each in evaluations]
        count = " / ".join(dict.fromkeys(str(each.count) for each in found if each))
        lines.append(f"| {name} | {count} | {' | '.join(map(_cell, found))} |")
    return "\n".join(lines) + "\n"


def _cell(found: Estimate | None) -> str:
    if found is None or found.value is None:
        return "-"
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def with_measures(evaluation: Evaluation, more: Mapping[str, Estimate]) -> Evaluation:
    """Return the evaluation with further measures."""
    return replace(evaluation, measures={**evaluation.measures, **more})
