"""Training that is killed, for real, has the curve of training that is not."""

import os
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
from tests.tiny_models import write_tiny_model
from tests.training_nursery import ENDED, Nursery, nursery

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


def exit_code_killed_at(step: int, program: Nursery, words: list[object], delay_s: float) -> int:
    """Train until that step is told, wait a moment, kill; return the exit code."""
    lines = program.run(words)
    process_id = int(next(lines))
    next(line for line in lines if line.startswith(f"step {step}/"))
    time.sleep(delay_s)
    os.kill(process_id, signal.SIGKILL)
    return _exit_code(lines)


def _exit_code(lines: Iterator[str]) -> int:
    *_, last = lines
    return int(last.removeprefix(ENDED))


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

    def words(out: str) -> list[object]:
        return ["sft", tmp_path / "mixed", "--model", base, "--out", tmp_path / out, *plan]

    random = Random(5)  # noqa: S311 - when to kill
    with nursery() as program:
        assert _exit_code(program.run(words("unbroken"))) == 0
        unbroken = curve(tmp_path / "unbroken")
        assert len(unbroken) > 2 * KILLS
        for step in sorted(random.sample(range(1, len(unbroken) - 2), KILLS)):
            code = exit_code_killed_at(step, program, words("broken"), random.uniform(0, 0.02))
            assert code == -signal.SIGKILL
        assert _exit_code(program.run(words("broken"))) == 0
    assert curve(tmp_path / "broken") == pytest.approx(unbroken, abs=1e-5)
