"""Supervised fine-tuning: next-token training on packed conversations, resumable at every step.

One optimiser step reads `rows_per_step` rows. Which rows those are follows from the step's number and
the seed alone, so a run that is killed goes on from its last checkpoint and gives the same losses as
one that was not.
"""

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpus.errors import ModelError
from posttrain.activations import Activations
from posttrain.examples import Example, Row, batch_of, pack
from posttrain.trainee import Trainee

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to train. `warmup` and `floor` are shares: of the steps, and of the learning rate at the end.

    With `seconds` above 0 a run ends after that time at the latest, and its learning rate falls with the time
    where that is further on than the steps: for a machine that is lent by the minute.
    """

    epochs: int = 2
    learning_rate: float = 2e-4
    warmup: float = 0.03
    floor: float = 0.1
    rows_per_step: int = 8
    max_length: int = 1024
    clip: float = 1.0
    weight_decay: float = 0.0
    seed: int = 0
    checkpoint_minutes: float = 5.0
    dev_every: int = 100
    patience: int = 3
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Point:
    """One step: its mean loss a label, the learning rate, the tokens read, the seconds it took."""

    step: int
    loss: float
    learning_rate: float
    tokens: int
    seconds: float


@dataclass
class Progress:
    """How far a run is; what a checkpoint holds besides the weights."""

    step: int = 0
    curve: list[Point] = field(default_factory=list)
    dev: list[tuple[int, float]] = field(default_factory=list)

    @property
    def best(self) -> float:
        """The lowest development loss so far."""
        return min((loss for _, loss in self.dev), default=math.inf)

    def stalled(self, patience: int) -> bool:
        """Tell whether the last `patience` development losses brought nothing better."""
        losses = [loss for _, loss in self.dev]
        return len(losses) > patience and min(losses[-patience:]) >= min(losses[:-patience])


@dataclass(frozen=True, slots=True)
class Course:
    """What is trained on; the activations, if any, hold all examples of both parts."""

    train: Sequence[Example]
    dev: Sequence[Example] = ()
    activations: Activations | None = None

    def lower(self, row: Row) -> Tensor | None:
        """Return a row's kept activations, or None."""
        return self.activations.of(row) if self.activations else None


def train(
    trainee: Trainee,
    course: Course,
    plan: Plan,
    folder: Path,
    *,
    report: Callable[[Point, int], None] = lambda _point, _total: None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train until the plan's end, or until development loss stalls; write the adapter to `folder`.

    A checkpoint in `folder` is gone on from. `report` gets each step and the number of all; `stop` is
    asked before each step and ends the call after a checkpoint.

    Raises:
        ModelError: nothing to train on, or the checkpoint is of another plan.
    """
    if not course.train:
        raise ModelError("There is nothing to train on; make records with `rag-train data` and `mix` first.")
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(trainee, course, plan, folder)
    run.resume()
    while run.share < 1 and not run.progress.stalled(plan.patience):
        if stop():
            run.checkpoint()
            return run.progress
        report(run.step(), run.steps)
        if run.is_dev_step():
            run.measure()
        run.checkpoint_when_due()
    run.measure_at_end()
    trainee.save(folder)
    run.checkpoint()
    return run.progress


class _Run:
    """One training run: the optimiser, the order of the data, and the checkpoint."""

    def __init__(self, trainee: Trainee, course: Course, plan: Plan, folder: Path) -> None:
        self.trainee = trainee
        self.course = course
        self.plan = plan
        self.progress = Progress()
        self._path = folder / CHECKPOINT
        self._weights = trainee.trainable()
        self._optimizer = torch.optim.AdamW(
            self._weights.values(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self._epochs: dict[int, list[Row]] = {}
        self._steps_each = [self._steps_of(self._rows(epoch)) for epoch in range(plan.epochs)]
        self._dev_rows = pack(course.dev, max_length=plan.max_length, seed=0)
        self._began = self._saved_at = time.monotonic()

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return sum(self._steps_each)

    @property
    def share(self) -> float:
        """How much of the run is done: of its steps, or of its time, whichever is more."""
        of_time = (time.monotonic() - self._began) / self.plan.seconds if self.plan.seconds else 0.0
        return min(1.0, max(self.progress.step / self.steps, of_time))

    def step(self) -> Point:
        """Take one optimiser step."""
        began = time.monotonic()
        rate = learning_rate(round(self.share * self.steps), self.steps, self.plan)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        rows = self._rows_of_step(self.progress.step)
        labels = sum(sum(example.trained[1:]) for row in rows for example in row.examples)
        losses = []
        for row in rows:
            loss, _ = self.trainee.loss(batch_of(row), self.course.lower(row))
            (loss / labels).backward()  # type: ignore[no-untyped-call]  # torch's annotation lacks it
            losses.append(loss.detach())
        torch.nn.utils.clip_grad_norm_(self._weights.values(), self.plan.clip)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.progress.step += 1
        tokens = sum(row.length for row in rows)
        total = sum(loss.item() for loss in losses)  # asked for late: a GPU is waited for once a step
        point = Point(self.progress.step, total / labels, rate, tokens, time.monotonic() - began)
        self.progress.curve.append(point)
        return point

    def is_dev_step(self) -> bool:
        """Tell whether the development loss is due, as it is every so many steps."""
        return bool(self._dev_rows) and self.progress.step % self.plan.dev_every == 0

    def measure_at_end(self) -> None:
        """Add the development loss of the last step, unless it was measured."""
        if self._dev_rows and not any(step == self.progress.step for step, _ in self.progress.dev):
            self.measure()

    def measure(self) -> None:
        """Add the development loss."""
        total, labels = 0.0, 0
        with torch.no_grad():
            for row in self._dev_rows:
                loss, count = self.trainee.loss(batch_of(row), self.course.lower(row))
                total += loss.item()
                labels += count
        self.progress.dev.append((self.progress.step, total / max(labels, 1)))

    def checkpoint_when_due(self) -> None:
        """Write a checkpoint if the last one is old enough."""
        if time.monotonic() - self._saved_at >= self.plan.checkpoint_minutes * 60:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write weights, optimiser, random state and progress: the whole file or none."""
        state = {
            "plan": asdict(self.plan),
            "steps": self.steps,
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all(),
            "step": self.progress.step,
            "seconds": time.monotonic() - self._began,
            "curve": [asdict(point) for point in self.progress.curve],
            "dev": self.progress.dev,
        }
        draft = self._path.with_name(CHECKPOINT + ".part")
        with draft.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)
        self._saved_at = time.monotonic()

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if not self._path.is_file():
            return
        state: dict[str, Any] = torch.load(self._path, weights_only=True)
        if state["plan"] != asdict(self.plan) or state["steps"] != self.steps:
            raise ModelError(f"{self._path} is of another plan or other data; choose another folder.")
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        torch.cuda.set_rng_state_all(state["random_cuda"])
        points = [Point(**point) for point in state["curve"]]
        self.progress = Progress(state["step"], points, [(step, loss) for step, loss in state["dev"]])
        self._began -= state.get("seconds", 0.0)

    def _rows(self, epoch: int) -> list[Row]:
        """Pack the epoch's rows; only the present epoch is kept."""
        if epoch not in self._epochs:
            plan = self.plan
            rows = pack(self.course.train, max_length=plan.max_length, seed=plan.seed * 1000 + epoch)
            self._epochs = {epoch: rows}
        return self._epochs[epoch]

    def _steps_of(self, rows: Sequence[Row]) -> int:
        return math.ceil(len(rows) / self.plan.rows_per_step)

    def _rows_of_step(self, step: int) -> list[Row]:
        epoch = 0
        while step >= self._steps_each[epoch]:
            step -= self._steps_each[epoch]
            epoch += 1
        start = step * self.plan.rows_per_step
        return self._rows(epoch)[start : start + self.plan.rows_per_step]


def learning_rate(step: int, steps: int, plan: Plan) -> float:
    """Return the rate of a step: a linear warm-up, then half a cosine down to the floor."""
    warmup = max(1, round(plan.warmup * steps))
    if step < warmup:
        return plan.learning_rate * (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return plan.learning_rate * (plan.floor + (1 - plan.floor) * 0.5 * (1 + math.cos(math.pi * share)))
