"""Pictures: the loss curve of a run, and evaluations side by side. Drawn if matplotlib is there."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from posttrain.calibration import Judged, bins_of
from posttrain.evaluate import Evaluation
from posttrain.sft import Progress

_SMOOTHING = 0.1


def draw_loss(progress: Progress, path: Path) -> bool:
    """Draw training loss (thin: each step; thick: smoothed) and development loss over steps."""
    if not _can_draw() or not progress.curve:
        return False
    from matplotlib.figure import Figure  # noqa: PLC0415 - it may be missing

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot()
    steps, losses = [point.step for point in progress.curve], [point.loss for point in progress.curve]
    axes.plot(steps, losses, color="tab:blue", alpha=0.3, linewidth=0.8)
    axes.plot(steps, smoothed(losses), color="tab:blue", label="training, smoothed")
    if progress.dev:
        dev_steps, dev_losses = zip(*progress.dev, strict=True)
        axes.plot(dev_steps, dev_losses, color="tab:orange", marker="o", label="development")
    axes.set(xlabel="step", ylabel="loss a trained token (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return True


def draw_comparison(evaluations: Sequence[Evaluation], path: Path) -> bool:
    """Draw the measures that are shares, one row each, a mark with its interval for each model."""
    names = [
        name for name in dict.fromkeys(n for each in evaluations for n in each.measures) if _is_share(name)
    ]
    if not _can_draw() or not names:
        return False
    from matplotlib.figure import Figure  # noqa: PLC0415 - it may be missing

    figure = Figure(figsize=(8, 0.35 * len(names) + 1), layout="constrained")
    axes = figure.add_subplot()
    for number, evaluation in enumerate(evaluations):
        for place, name in enumerate(names):
            found = evaluation.measures.get(name)
            if found is None or found.value is None or found.low is None or found.high is None:
                continue
            row = place + 0.2 * number
            colour = f"C{number}"
            axes.plot([found.low, found.high], [row, row], color=colour, alpha=0.5)
            label = evaluation.model if place == 0 else None
            axes.plot(found.value, row, "o", color=colour, label=label)
    axes.set(xlim=(-0.02, 1.02), yticks=range(len(names)), yticklabels=names)
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    return True


def draw_calibration(judged: Sequence[Judged], path: Path) -> bool:
    """Draw how often the passages do answer, over how likely the evidence score said that they would."""
    bins = bins_of(judged)
    if not _can_draw() or not bins:
        return False
    from matplotlib.figure import Figure  # noqa: PLC0415 - it may be missing

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="what it says is so")
    for each in bins:
        if each.there.low is not None and each.there.high is not None:
            axes.plot([each.score] * 2, [each.there.low, each.there.high], color="tab:blue", alpha=0.5)
    values = [each.there.value or 0.0 for each in bins]
    axes.plot([each.score for each in bins], values, "o-", color="tab:blue", label="a tenth of the questions")
    axes.set(
        xlabel="evidence score", ylabel="share that the passages answer", xlim=(0, 1), ylim=(-0.02, 1.02)
    )
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    return True


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the running mean that forgets a tenth at each step."""
    means: list[float] = []
    for value in values:
        means.append(value if not means else means[-1] + _SMOOTHING * (value - means[-1]))
    return means


def _is_share(name: str) -> bool:
    return "perplexity" not in name


def _can_draw() -> bool:
    return importlib.util.find_spec("matplotlib") is not None
