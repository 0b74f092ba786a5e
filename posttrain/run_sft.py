"""`rag-train sft`: from mixed records and a base model to an adapter, with progress on the terminal."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import typer

from corpus.settings import Settings
from posttrain.activations import Activations, keep_activations
from posttrain.data.files import read_records
from posttrain.examples import Example, examples_of
from posttrain.plots import draw_loss
from posttrain.sft import Course, Plan, Point, Progress, train
from posttrain.trainee import Full, Lora, Precision, Trainee, best_precision, load_trainee
from rag_service.answering.adapter import load_adapter
from rag_service.answering.model_files import ModelFiles, find_model
from rag_service.cli.terminal import is_terminal


@dataclass(frozen=True, slots=True)
class Run:
    """What `rag-train sft` was asked for."""

    folder: Path
    model: str
    out: Path
    plan: Plan
    how: Lora | Full
    precision: Precision = field(default_factory=best_precision)
    recompute: bool = False
    start: Path | None = None


def run_sft(run: Run) -> Progress:
    """Train, and print a line a step (on a terminal it is overwritten)."""
    base = find_model(run.model, models_dir=Settings.load().models_dir)
    how = replace(run.how, kept=_keeps(run)) if isinstance(run.how, Lora) else run.how
    start = load_adapter(run.start, base_sha256=base.sha256) if run.start else None
    trainee = load_trainee(
        base.folder,
        how,
        seed=run.plan.seed,
        precision=run.precision,
        recompute=run.recompute,
        start=start,
    )
    course = _course(run, trainee, base)
    typer.echo(f"{len(course.train)} conversations to train on, {len(course.dev)} for development")
    progress = train(trainee, course, run.plan, run.out, report=_report)
    draw_loss(progress, run.out / "loss.png")
    what = "adapter" if isinstance(run.how, Lora) else "whole model"
    typer.echo(f"\n{what} in {run.out}; development loss {progress.best:.4f}")
    return progress


def _course(run: Run, trainee: Trainee, base: ModelFiles) -> Course:
    learned = _examples(run, trainee, "train.jsonl")
    held_back = _examples(run, trainee, "dev.jsonl")
    kept = _kept(run, trainee, base, [*learned, *held_back])
    return Course(learned, held_back, activations=kept)


def _examples(run: Run, trainee: Trainee, name: str) -> list[Example]:
    records = read_records(run.folder / name)
    return list(examples_of(records, trainee.template, max_length=run.plan.max_length))


def _kept(run: Run, trainee: Trainee, base: ModelFiles, examples: list[Example]) -> Activations | None:
    if not _keeps(run):
        return None
    fingerprint = f"{base.sha256} {run.precision}"
    return keep_activations(
        trainee, examples, run.out / "activations", fingerprint=fingerprint, progress=_report_kept
    )


def _keeps(run: Run) -> bool:
    """In a single epoch each activation is read once: keeping them would gain nothing."""
    return run.how.first_layer > 0 and run.plan.epochs > 1


def _report_kept(done: int, total: int) -> None:
    if is_terminal():
        typer.echo(f"\rlower layers: {done / total:6.1%} of {total} tokens", nl=done == total)


def _report(point: Point, total: int) -> None:
    rate = point.tokens / max(point.seconds, 1e-9)
    left = (total - point.step) * point.seconds / 60
    line = f"step {point.step}/{total}  loss {point.loss:.4f}  {rate:.0f} tokens/s  {left:.0f} min left"
    typer.echo(f"\r{line}   " if is_terminal() else line, nl=not is_terminal())
