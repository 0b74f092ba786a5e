"""A picture of how good each way to search is. Drawn if matplotlib is there (`pip install -e '.[train]'`)."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from rag_service.evaluation.retrieval import RankingScores


def draw_retrieval(scores: Sequence[RankingScores], path: Path, *, title: str) -> bool:
    """Draw each measure's mean with its 95% interval, a colour a way to search; return whether it could."""
    if importlib.util.find_spec("matplotlib") is None:
        return False
    from matplotlib.figure import Figure  # noqa: PLC0415 - it may be missing

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    names = list(scores[0].measures)
    for number, each in enumerate(scores):
        found = [each.measures[name] for name in names]
        places = [place + 0.8 * (number + 0.5) / len(scores) - 0.4 for place in range(len(names))]
        values = [one.value or 0.0 for one in found]
        below = [value - (one.low or 0.0) for value, one in zip(values, found, strict=True)]
        above = [(one.high or 0.0) - value for value, one in zip(values, found, strict=True)]
        axes.errorbar(places, values, yerr=[below, above], fmt="o", capsize=3, label=each.name)
    axes.set(xticks=range(len(names)), xticklabels=names, ylim=(0, 1.02), title=title)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return True
