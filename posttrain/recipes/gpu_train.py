"""Trains adapters on one GPU that has no service installed: a few plans for comparison, or the one to ship.

    python posttrain/recipes/gpu_train.py tokens BASE MIX
    python posttrain/recipes/gpu_train.py train BASE MIX WORK OUT [--start ADAPTER] PLAN...

BASE is the base model's folder or GGUF file, MIX what `rag-train mix` wrote. `tokens` is for the machine at
home: a GPU need not wait for a tokenizer. A PLAN is ``rank/learning-rate/epochs/tokens-a-step/seconds``, such
as ``64/8e-4/2/32768/600``: after so many seconds (0: whenever it is) it is at its end. All are compared by
development loss; the best is written to OUT in half precision, in files below 16 MB. WORK keeps checkpoints:
a plan that was cut off goes on from its last one. With ADAPTER all go on from there; they must have its rank.
"""

# ruff: noqa: INP001, T201 - a script, run by its path
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file

from posttrain.data.files import read_records
from posttrain.examples import examples_of, load_examples, write_examples
from posttrain.sft import Course, Plan, Point, Progress, train
from posttrain.sharding import write_shards
from posttrain.trainee import Lora, load_trainee
from rag_service.answering.adapter import Adapter, load_adapter
from rag_service.answering.gguf_conversion import convert_gguf
from rag_service.answering.model_files import sha256_of
from rag_service.answering.template import AnswererTemplate, answerer_vocabulary
from rag_service.answering.vocabulary import Vocabulary

ROW = 65536  # tokens at once, for a GPU of 140 GB; half of it fits one of 80 GB with room to spare
LONGEST = 2048  # tokens of a conversation
DEV = 400  # conversations that the development loss is measured on


@dataclass(frozen=True, slots=True)
class Wanted:
    """One plan of the command line."""

    rank: int
    learning_rate: float
    epochs: int
    tokens: int
    seconds: float

    @classmethod
    def read(cls, text: str) -> "Wanted":
        """Read ``rank/learning-rate/epochs/tokens/seconds``."""
        rank, rate, epochs, tokens, seconds = text.split("/")
        return cls(int(rank), float(rate), int(epochs), int(tokens), float(seconds))

    @property
    def plan(self) -> Plan:
        """How `posttrain.sft` calls it."""
        return Plan(
            epochs=self.epochs,
            learning_rate=self.learning_rate,
            rows_per_step=max(1, self.tokens // ROW),
            max_length=min(ROW, self.tokens),
            checkpoint_minutes=60,
            seconds=self.seconds,
            dev_every=250,
            patience=1000,  # all of it is read: the rate falls to its floor at the end
        )


@dataclass(frozen=True, slots=True)
class Ground:
    """What all plans have in common."""

    base: Path
    mixed: Path
    work: Path
    start: Adapter | None


def main(base: Path, mixed: Path, work: Path, out: Path, wanted: list[str]) -> None:
    """Train all, write the best."""
    start = None
    if wanted[0] == "--start":
        weights = base if base.is_file() else base / "model.safetensors"
        start = load_adapter(Path(wanted[1]), base_sha256=sha256_of(weights))
        wanted = wanted[2:]
    if base.suffix == ".gguf":
        folder = work / "base"
        folder.mkdir(parents=True, exist_ok=True)
        convert_gguf(base, folder)
        base = folder
    ground = Ground(base, mixed, work, start)
    results = {text: _run(ground, text) for text in wanted}
    best = min(results, key=lambda text: results[text].best)
    print(f"best: {best} with {results[best].best:.4f}", flush=True)
    _write(work / best.replace("/", "_"), out)
    curves = {
        text: {"dev": run.dev, "loss": [round(point.loss, 4) for point in run.curve]}
        for text, run in results.items()
    }
    (out / "curves.json").write_text(json.dumps(curves))


def _run(ground: Ground, text: str) -> Progress:
    began = time.monotonic()
    wanted = Wanted.read(text)
    how = Lora(rank=wanted.rank, alpha=2 * wanted.rank, kept=False)
    trainee = load_trainee(ground.base, how, precision="bfloat16", start=ground.start)
    held = load_examples(ground.mixed / "dev.npz")
    course = Course(load_examples(ground.mixed / "train.npz"), held[:: max(1, len(held) // DEV)])
    tokens = sum(len(example.ids) for example in course.train)
    print(f"{wanted}: {len(course.train)} conversations, {tokens} tokens", flush=True)
    progress = train(trainee, course, wanted.plan, ground.work / text.replace("/", "_"), report=_report)
    seconds = time.monotonic() - began
    print(
        f"{wanted}: dev {[(step, round(loss, 4)) for step, loss in progress.dev]}, {seconds:.0f} s",
        flush=True,
    )
    return progress


def write_tokens(base: Path, mixed: Path) -> None:
    """Write the mix as token ids, as `train` reads it."""
    template = AnswererTemplate(answerer_vocabulary(Vocabulary.from_file(base / "tokenizer.json")))
    for part in ("train", "dev"):
        records = read_records(mixed / f"{part}.jsonl")
        examples = list(examples_of(records, template, max_length=LONGEST))
        write_examples(examples, mixed / f"{part}.npz")
        print(f"{part}: {len(examples)} conversations, {sum(len(each.ids) for each in examples)} tokens")


def _report(point: Point, total: int) -> None:
    if point.step % 50 == 0 or point.step == total:
        rate = point.tokens / point.seconds
        print(f"step {point.step}/{total} loss {point.loss:.4f} {rate:.0f} tokens/s", flush=True)


def _write(adapter: Path, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    write_shards(load_file(adapter / "adapter_model.safetensors"), out, "adapter_model")
    for name in ("adapter_config.json", "tokenizer.json"):
        (out / name).write_bytes((adapter / name).read_bytes())


if __name__ == "__main__":
    command, *given = sys.argv[1:]
    if command == "tokens":
        write_tokens(Path(given[0]), Path(given[1]))
    else:
        main(Path(given[0]), Path(given[1]), Path(given[2]), Path(given[3]), given[4:])
