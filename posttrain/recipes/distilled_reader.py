"""A larger reader, and a small one taught by it, on one GPU.

    python posttrain/recipes/distilled_reader.py prepare SOURCES WORK QUESTIONS PASSAGES MPNET
    python posttrain/recipes/distilled_reader.py train EMBEDDER READER WORK OUT SECONDS

MPNET is the folder of all-mpnet-base-v2, which comes as a package. `prepare` writes into WORK, packed for the
way to a GPU: the pairs that readers learn from, many more without labels, pairs that are held back, and
MPNet's weights in eight bits. `train` trains MPNet (OUT/larger, four bits a number), lets it read all pairs,
and trains READER on from there for what is left of SECONDS (OUT/smaller): its probabilities of each place are
to be the larger one's (Hinton et al. 2015, arXiv:1503.02531). `rag_service` need not be installed for it.
"""

# ruff: noqa: INP001, T201 - a script, run by its path
# ruff: noqa: PLC0415 - what makes data needs pydantic, faiss and tantivy, which the GPU's machine lacks
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from corpus.embedding import find_model, hash_weights
from corpus.text_encoding import batches_by_length
from posttrain.larger_reader import Teacher, save_larger, write_teacher
from posttrain.reader import ReaderInTraining, batch_numbers, find_spans, load_into, losses, save_reader
from posttrain.reader_examples import ReaderExample
from rag_service.answering.conversation import Record
from rag_service.retrieval.pairs import Pair, PairTokenizer
from rag_service.retrieval.reader import BASE

EPOCHS = 4
RATE = 6e-5  # the teacher's
STUDENT_RATE = 2e-4
BATCH = 16384  # tokens, padding included
NEAR = {"squad": 6, "qed": 5, "written": 4}  # near misses of a question that are read without a label
WIDEST = 320  # tokens of a pair
_HARD = 0.2  # share of the known answers in the student's loss, where there are any
_WARMUP = 0.05
_MASKED = -1e4
_HELD = 400  # questions of each kind


# --- at home: data ------------------------------------------------------------------------------------------


def prepare(sources: Path, work: Path, questions: Path, passages: Path, teacher: Path) -> None:
    """Write what `train` reads."""
    from posttrain.data import more_reading, reading
    from posttrain.data.files import read_json, read_json_lines
    from posttrain.recipes import reader as recipe
    from posttrain.recipes.gpu_run import written_records

    random = Random(0)  # noqa: S311 - an order of data, no secret
    tokenizer = PairTokenizer(find_model(BASE))
    records, held = recipe.make(sources, random)
    written = [each for each in written_records(questions, passages) if each.split == "train"]
    more = recipe.beside(written, written, recipe.TWO, random)
    labelled = recipe.examples_of_pairs([*records, *more], tokenizer)
    out = {recipe.title_of(each) for each in held}
    squad = [
        each
        for each in reading.import_squad(read_json(recipe.find_file(sources, "squad2*")))
        if recipe.title_of(each) not in out and each.split == "train"
    ]
    qed = more_reading.import_qed(read_json_lines(recipe.find_file(sources, "qed*")))
    sets = {"squad": squad, "qed": [each for each in qed if each.split == "train"], "written": written}
    unread = list(_unlabelled(sets, tokenizer, random))
    asked = [
        *random.sample([each for each in held if each.task == "rag_answer"], _HELD),
        *random.sample([each for each in held if each.task == "rag_refuse"], _HELD),
    ]
    work.mkdir(parents=True, exist_ok=True)
    for name, pairs in (
        ("labelled", labelled),
        ("unlabelled", unread),
        ("held", recipe.examples_of_pairs(asked, tokenizer)),
    ):
        write_pairs(pairs, work / f"{name}.npz")
        print(f"{name}: {len(pairs)} pairs, {sum(len(each.pair.ids) for each in pairs)} tokens", flush=True)
    write_teacher(teacher, find_model(BASE), work)


def _unlabelled(
    sets: Mapping[str, Sequence[Record]], tokenizer: PairTokenizer, random: Random
) -> Iterator[ReaderExample]:
    """Yield each question with the passages that match it best but its own; some may hold its answer."""
    from posttrain.data.distractors import PassagePool
    from posttrain.data.grounded import grounded_of

    for name, records in sets.items():
        pool = PassagePool(records)
        for record in records:
            parts = grounded_of(record)
            if parts is None or len(parts.history) != 1:
                continue
            # Asked without its answer: what holds that is no mistake here, where a teacher reads it.
            open_question = replace(parts, record=replace(record, meta=replace(record.meta, gold=())))
            for passage in pool.near_misses(open_question, NEAR[name], random):
                pair = tokenizer.pair(parts.question, passage.title, passage.text)
                if len(pair.ids) <= WIDEST:
                    yield ReaderExample(pair, answered=False)


def write_pairs(examples: Sequence[ReaderExample], path: Path) -> None:
    """Write pairs and what is known of them; where in the text a token stands is left out."""
    answers = [span for example in examples for span in example.answers]
    np.savez_compressed(
        path,
        ids=np.fromiter(chain.from_iterable(each.pair.ids for each in examples), np.uint16),
        shape=np.array(
            [
                (len(each.pair.ids), each.pair.second, each.pair.first_of_text, len(each.answers))
                for each in examples
            ],
            np.uint16,
        ),
        answers=np.array(answers, np.uint16).reshape(-1, 2),
        answered=np.array([each.answered for each in examples]),
    )


def read_pairs(path: Path) -> list[ReaderExample]:
    """Read what `write_pairs` wrote."""
    with np.load(path) as file:
        ids, shape, answers, answered = (file[name] for name in ("ids", "shape", "answers", "answered"))
    ends, last = shape[:, 0].cumsum(dtype=np.int64), shape[:, 3].cumsum(dtype=np.int64)
    return [
        ReaderExample(
            Pair(ids[end - length : end].tolist(), int(second), int(first), ()),
            answered=bool(known),
            answers=tuple((int(a), int(b)) for a, b in answers[stop - count : stop]),
        )
        for (length, second, first, count), end, stop, known in zip(
            shape.astype(np.int64), ends, last, answered, strict=True
        )
    ]


# --- on the GPU ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """What the teacher makes of a pair: the logits of its places, `[CLS]` first, and of relevance."""

    starts: NDArray[np.float16]
    ends: NDArray[np.float16]
    relevance: float


Model = Teacher | ReaderInTraining


def train(embedder: Path, reader: Path, work: Path, out: Path, seconds: float) -> None:
    """Train the teacher, then the student until the time is up; say how good each is on held-back pairs."""
    began = time.monotonic()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    labelled, unlabelled, held = (
        read_pairs(work / f"{name}.npz") for name in ("labelled", "unlabelled", "held")
    )
    student = ReaderInTraining(embedder, seed=0, dropout=0.0)
    load_into(student, reader)
    student.to(device)
    _say(began, "student before", measure(student.eval(), held))
    teacher = Teacher(work).to(device)
    _teach(teacher.train(), labelled, began)
    _say(began, "teacher", measure(teacher.eval(), held))
    save_larger(teacher, out / "larger", base_sha256=hash_weights(embedder))
    every = [*labelled, *unlabelled]
    shown = show(teacher, every)
    print(f"{time.monotonic() - began:.0f} s: {len(shown)} pairs read", flush=True)
    _follow(student.train(), every, shown, len(labelled), (began, seconds))
    _say(began, "student", measure(student.eval(), held))
    save_reader(student, out / "smaller", base_sha256=hash_weights(embedder))


def _teach(teacher: Teacher, examples: Sequence[ReaderExample], began: float) -> None:
    batches = [batch for epoch in range(EPOCHS) for batch in batch_numbers(examples, BATCH, epoch)]
    optimizer = _optimizer(teacher, RATE)
    for step, numbers in enumerate(batches):
        batch = [examples[number] for number in numbers]
        with _halves(teacher):
            starts, ends, relevance = teacher(batch)
        span, judged = losses(batch, starts.float(), ends.float(), relevance.float())
        _step(optimizer, span + judged, RATE, step / len(batches))
        if step % 100 == 0:
            took = time.monotonic() - began
            print(
                f"{took:.0f} s: teacher {step}/{len(batches)} {span.item():.3f} {judged.item():.3f}",
                flush=True,
            )


def show(teacher: Teacher, examples: Sequence[ReaderExample]) -> list[Shown]:
    """Return what the teacher makes of each pair."""
    shown: dict[int, Shown] = {}
    for numbers in batches_by_length([len(each.pair.ids) for each in examples], 4 * BATCH):
        with torch.inference_mode(), _halves(teacher):
            starts, ends, relevance = teacher([examples[number] for number in numbers])
        logits = zip(starts.half().cpu().numpy(), ends.half().cpu().numpy(), relevance.tolist(), strict=True)
        for number, (start, end, judged) in zip(numbers, logits, strict=True):
            length = len(examples[number].pair.ids)
            shown[number] = Shown(start[:length].copy(), end[:length].copy(), judged)
    return [shown[number] for number in range(len(examples))]


def _follow(
    student: ReaderInTraining,
    examples: Sequence[ReaderExample],
    shown: Sequence[Shown],
    known: int,
    limit: tuple[float, float],
) -> None:
    """Train the student on what the teacher made of all pairs; of the first `known` labels count too."""
    optimizer = _optimizer(student, STUDENT_RATE)
    began, seconds = limit
    start = time.monotonic()
    endless = chain.from_iterable(batch_numbers(examples, BATCH, epoch) for epoch in count())
    for step, numbers in enumerate(endless):
        share = (time.monotonic() - start) / max(1.0, began + seconds - start)
        if share >= 1:
            return
        with _halves(student):
            starts, ends, relevance = student([examples[number] for number in numbers])
        wanted = _wanted([shown[number] for number in numbers], starts.shape[1], starts.device)
        loss = _distance(starts, wanted[0]) + _distance(ends, wanted[1])
        judged = functional.binary_cross_entropy_with_logits(relevance.float(), wanted[2].sigmoid())
        labelled = [place for place, number in enumerate(numbers) if number < known]
        hard = torch.zeros((), device=starts.device)
        if labelled:
            some = [examples[numbers[place]] for place in labelled]
            span, own = losses(
                some, starts[labelled].float(), ends[labelled].float(), relevance[labelled].float()
            )
            hard = (span + own) * (len(labelled) / len(numbers))
        _step(optimizer, (1 - _HARD) * (loss / 2 + judged) + _HARD * hard, STUDENT_RATE, share)
        if step % 200 == 0:
            took = time.monotonic() - began
            print(f"{took:.0f} s: student {step} {loss.item():.3f} {judged.item():.3f}", flush=True)


def _wanted(shown: Sequence[Shown], length: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    starts = np.full((len(shown), length), _MASKED, np.float32)
    ends = starts.copy()
    for row, each in enumerate(shown):
        starts[row, : len(each.starts)], ends[row, : len(each.ends)] = each.starts, each.ends
    relevance = torch.tensor([each.relevance for each in shown])
    return torch.from_numpy(starts).to(device), torch.from_numpy(ends).to(device), relevance.to(device)


def _distance(logits: Tensor, wanted: Tensor) -> Tensor:
    """Return the mean divergence of the places' probabilities from the teacher's."""
    return functional.kl_div(
        logits.float().log_softmax(1), wanted.log_softmax(1), reduction="batchmean", log_target=True
    )


def _optimizer(model: nn.Module, rate: float) -> torch.optim.Optimizer:
    learning = [weight for weight in model.parameters() if weight.requires_grad]
    return torch.optim.AdamW(learning, lr=rate, weight_decay=0.01)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, share: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate * min((share + 1e-3) / _WARMUP, (1 - share) / (1 - _WARMUP))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]  # torch's annotation lacks it
    nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()


def _halves(model: nn.Module) -> torch.autocast:
    return torch.autocast(next(model.parameters()).device.type, dtype=torch.bfloat16)


def measure(model: Model, held: Sequence[ReaderExample]) -> str:
    """Return the F1 of the spans over tokens, exact matches, and how well each head tells near misses."""
    spans = find_spans(model, [each.pair for each in held])  # type: ignore[arg-type]  # the same call
    answered = np.array([each.answered for each in held])
    scores = [
        max(_overlap(set(range(span.first, span.last + 1)), set(range(a, b + 1))) for a, b in each.answers)
        for span, each in zip(spans, held, strict=True)
        if each.answers
    ]
    margins, judged = (np.array([getattr(each, name) for each in spans]) for name in ("margin", "relevance"))
    return (
        f"F1 {np.mean(scores):.3f} exact {np.mean(np.array(scores) == 1):.3f} "
        f"area of the margin {_area(margins, answered):.3f}, of relevance {_area(judged, answered):.3f}"
    )


def _overlap(found: set[int], gold: set[int]) -> float:
    return 2 * len(found & gold) / (len(found) + len(gold))


def _area(scores: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    above, below = scores[wanted][:, None], scores[~wanted][None]
    return float(np.mean((above > below) + 0.5 * (above == below)))


def _say(began: float, name: str, told: str) -> None:
    print(f"{time.monotonic() - began:.0f} s: {name}: {told}", flush=True)


if __name__ == "__main__":
    command, *given = sys.argv[1:]
    if command == "prepare":
        prepare(*(Path(each) for each in given))
    else:
        embedder, reader, work, out = (Path(each) for each in given[:4])
        train(embedder, reader, work, out, float(given[4]))
