"""Training that is killed, for real, has the curve of training that is not."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import torch

from posttrain.data.files import write_records
from posttrain.data.reading import SQUAD, grounded_record
from rag_service.answering.conversation import Record, SourcePassage
from tests.nursery import Child, nursery
from tests.tiny_models import write_tiny_model

KILLS = 20


def records(count: int) -> Iterator[Record]:
    """Yield short conversations, every third a refusal."""
    for n in range(count):
        passage = SourcePassage("d1", f"Pump {n} burns {n + 3} litres.")
        answers = () if n % 3 == 2 else (f"{n + 3} litres",)
        question = f"What does pump {n} burn?"
        yield grounded_record(str(n), question, passage, answers, split="train", source=SQUAD)


def curve(folder: Path) -> list[float]:
    """Return the loss at every step of a run."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return [point["loss"] for point in state["curve"]]


def killed_at(step: int, process: Child, delay_s: float) -> int:
    """Wait until that step is told, and a moment more, and kill; return the exit code."""
    next(line for line in process.stdout if line.startswith(f"step {step}/"))
    time.sleep(delay_s)
    process.kill()
    return process.wait()


def test_training_killed_at_twenty_random_steps_has_the_curve_of_an_unbroken_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL between steps and in the middle of checkpoints; the losses agree to 1e-5 at every step."""
    monkeypatch.setenv("RAG_DATA_DIR", str(tmp_path / "data"))
    base = write_tiny_model(tmp_path / "base")
    write_records(tmp_path / "mixed" / "train.jsonl", records(60))
    write_records(tmp_path / "mixed" / "dev.jsonl", ())
    plan = [
        "--epochs",
        6,
        "--rows-per-step",
        2,
        "--max-length",
        160,
        "--first-layer",
        1,
        "--checkpoint-minutes",
        0,
    ]

    random = Random(5)  # noqa: S311 - when to kill
    with nursery("peft", "posttrain.run_sft", "posttrain.cli") as program:

        def begin(out: str) -> Child:
            words = ("sft", tmp_path / "mixed", "--model", base, "--out", tmp_path / out, *plan)
            return program.start("posttrain.cli:main", *words)

        assert begin("unbroken").wait() == 0
        unbroken = curve(tmp_path / "unbroken")
        assert len(unbroken) > 2 * KILLS
        for step in sorted(random.sample(range(1, len(unbroken) - 2), KILLS)):
            assert killed_at(step, begin("broken"), random.uniform(0, 0.02)) == -signal.SIGKILL
        assert begin("broken").wait() == 0
    assert curve(tmp_path / "broken") == pytest.approx(unbroken, abs=1e-5)
