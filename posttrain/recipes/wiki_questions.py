"""Questions about pages that nobody asked about yet: written on one GPU, kept if the reader finds the answer.

    python posttrain/recipes/wiki_questions.py prepare SOURCES WORK
    python posttrain/recipes/wiki_questions.py write BASE EMBEDDER WORK OUT SECONDS
    python posttrain/recipes/wiki_questions.py pairs SOURCES WORK QUESTIONS
    python posttrain/recipes/wiki_questions.py read EMBEDDER WORK OUT
    python posttrain/recipes/wiki_questions.py average A B OUT

`prepare` needs no GPU: what the question writer and the reader learn from, and the passages to ask about.
`write` trains both, lets the writer ask as much as it can in SECONDS, and puts into OUT the trained
reader and `questions.jsonl.gz`: of each question the passage, the answer that the writer had in mind, and
the words that the reader finds. `rag_service` need not be installed for it, and nothing is fetched.

`pairs` adds the questions that were found again to what a reader learns from, and `read` trains one on that:
the one that is shipped. `average` writes into OUT the mean of two readers.

Asking and finding again is how Alberti et al. 2019 (arXiv:1906.05416) and Lewis et al. 2021 (PAQ,
arXiv:2102.07033) made questions for reading.
"""

# ruff: noqa: INP001, T201 - a script, run by its path
# ruff: noqa: PLC0415 - what makes data needs pydantic, faiss and tantivy, which the GPU's machine lacks
import gzip
import json
import pickle
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import torch
from transformers import LlamaForCausalLM

from corpus.embedding import find_model, hash_weights
from posttrain.data import more_reading, reading
from posttrain.data.files import read_json, read_json_lines, read_records, write_records
from posttrain.data.reading import split_of
from posttrain.data.writing import read_question, writing_messages, writing_records
from posttrain.examples import examples_of
from posttrain.reader import ReaderInTraining, ReaderPlan, average, find_spans, save_reader, train_reader
from posttrain.reader_examples import ReaderExample
from posttrain.sft import Course, Plan, Point, train
from posttrain.trainee import Full, Trainee, load_trainee
from rag_service.answering.conversation import SourcePassage
from rag_service.retrieval.pairs import PairTokenizer
from rag_service.retrieval.reader import BASE

WORDS = (25, 150)  # of a passage that is asked about
WRITER = Plan(epochs=3, learning_rate=3e-4, rows_per_step=1, max_length=8192, checkpoint_minutes=60)
READER = ReaderPlan(epochs=3, learning_rate=2e-4, batch_tokens=16384)
PADDING = "<|endoftext|>"
_AT_ONCE = 768
_MOST_TOKENS = 320  # of a prompt
_NEW = 72
_LONGEST_ANSWER = 15  # words


def prepare(sources: Path, work: Path) -> None:
    """Write what `write` reads."""
    from posttrain.recipes import reader as reader_recipe

    random = Random(0)  # noqa: S311 - an order of data, no secret
    records, held = reader_recipe.make(sources, random)
    tokenizer = PairTokenizer(find_model(BASE))
    work.mkdir(parents=True, exist_ok=True)
    pairs = reader_recipe.examples_of_pairs(records, tokenizer)
    plain = [replace(each, pair=replace(each.pair, spans=())) for each in pairs]  # the spans are half of it
    (work / "pairs.pickle").write_bytes(pickle.dumps(plain))
    out = {reader_recipe.title_of(each) for each in held}
    squad = reading.import_squad(read_json(reader_recipe.find_file(sources, "squad2*")))
    known = [each for each in squad if reader_recipe.title_of(each) not in out]
    qed = list(more_reading.import_qed(read_json_lines(reader_recipe.find_file(sources, "qed*"))))
    asked = [each for each in writing_records((*known, *qed)) if each.split == "train"]
    write_records(work / "writing.jsonl", asked)
    passages = list(_passages(sources, out))
    random.shuffle(passages)
    (work / "passages.json").write_text(json.dumps(passages))
    print(f"{len(pairs)} pairs, {len(asked)} questions to learn from, {len(passages)} passages")


def pairs(sources: Path, work: Path, questions: Path) -> None:
    """Write what the last reader learns from: people's questions and those that were written."""
    from posttrain.recipes import reader as reader_recipe
    from posttrain.recipes.gpu_run import written_records

    random = Random(0)  # noqa: S311 - an order of data, no secret
    records, _ = reader_recipe.make(sources, random)
    written = list(written_records(questions, work / "passages.json"))
    more = reader_recipe.beside(written, written, reader_recipe.TWO, random)
    examples = reader_recipe.examples_of_pairs([*records, *more], PairTokenizer(find_model(BASE)))
    plain = [replace(each, pair=replace(each.pair, spans=())) for each in examples]
    (work / "pairs.pickle").write_bytes(pickle.dumps(plain))
    print(f"{len(plain)} pairs, {sum(len(each.pair.ids) for each in plain)} tokens")


def read(embedder: Path, work: Path, out: Path) -> None:
    """Train the reader that is shipped."""
    examples: list[ReaderExample] = pickle.loads((work / "pairs.pickle").read_bytes())  # noqa: S301 - our own
    plan = replace(READER, epochs=4, dropout=0.1)
    reader = train_reader(
        embedder, examples, plan, report=lambda loss: _say(loss.step, loss.steps, loss.span)
    )
    save_reader(reader, out / "reader", base_sha256=hash_weights(embedder))


def _passages(sources: Path, out: set[str]) -> Iterator[tuple[str, str, str]]:
    """Yield id, title and text; none of a title that is held back."""
    from posttrain.recipes import reader as reader_recipe

    for row in read_json_lines(reader_recipe.find_file(sources, "wikipedia_pages*")):
        title = str(row["title"])
        for number, text in enumerate(row["paragraphs"] if isinstance(row["paragraphs"], list) else ()):
            if title not in out and split_of(title) == "train" and _fits(str(text)):
                yield f"wikipedia-{title}-{number}", title, str(text)
    for part in (1, 2):
        rows = read_json(reader_recipe.find_file(sources, f"wiki_passages_{part}*"))
        for number, short in enumerate(rows if isinstance(rows, list) else ()):
            if isinstance(short, dict):
                title, text = str(short["title"]), str(short["text"])
                if title not in out and split_of(title) == "train" and _fits(text):
                    yield f"wiki-{part}-{number}", title, text


def _fits(text: str) -> bool:
    return WORDS[0] <= len(text.split()) <= WORDS[1]


def write(base: Path, embedder: Path, work: Path, out: Path, seconds: float) -> None:
    """Train the reader and the writer, ask, and find again."""
    began = time.monotonic()
    pairs: list[ReaderExample] = pickle.loads((work / "pairs.pickle").read_bytes())  # noqa: S301 - our own
    reader = train_reader(embedder, pairs, READER, report=lambda loss: _say(loss.step, loss.steps, loss.span))
    save_reader(reader, out / "reader", base_sha256=hash_weights(embedder))
    print(f"reader after {time.monotonic() - began:.0f} s", flush=True)
    trainee = _writer(base, work)
    print(f"writer after {time.monotonic() - began:.0f} s", flush=True)
    passages = [
        SourcePassage(*_id_text_title(row)) for row in json.loads((work / "passages.json").read_text())
    ]
    asked = list(_ask(trainee, passages, time.monotonic() + seconds))
    print(f"{len(asked)} questions after {time.monotonic() - began:.0f} s", flush=True)
    rows = list(_found(reader, PairTokenizer(embedder), asked))
    with gzip.open(out / "questions.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    same = sum(str(row["found"]).lower() == str(row["answer"]).lower() for row in rows)
    print(f"{same} found again as they were meant, {time.monotonic() - began:.0f} s in all", flush=True)


def _id_text_title(row: Sequence[str]) -> tuple[str, str, str]:
    number, title, text = row
    return number, text, title


def _writer(base: Path, work: Path) -> Trainee:
    trainee = load_trainee(base, Full(), precision="bfloat16")
    records = read_records(work / "writing.jsonl")
    examples = list(examples_of(records, trainee.template, max_length=1024))
    train(trainee, Course(examples), WRITER, work / "writer", report=_report)
    return trainee


def _report(point: Point, total: int) -> None:
    _say(point.step, total, point.loss, point.tokens / point.seconds)


def _say(step: int, steps: int, loss: float, rate: float = 0.0) -> None:
    if step % 50 == 0 or step == steps:
        print(f"step {step}/{steps} loss {loss:.3f} {rate:.0f} tokens/s", flush=True)


def _ask(
    trainee: Trainee, passages: Sequence[SourcePassage], until: float
) -> Iterator[tuple[SourcePassage, str, str]]:
    """Yield passages with a question and the answer in mind, round after round until time is up."""
    model = LlamaForCausalLM(trainee.causal.config)
    model.load_state_dict(trainee.causal.state_dict())
    model.config._attn_implementation = "sdpa"  # noqa: SLF001 - transformers has no other name for it
    model.to(trainee.device, torch.bfloat16).eval()  # type: ignore[arg-type]  # its stub lacks devices
    template, padding = trainee.template, trainee.template.vocabulary.control[PADDING]
    prompts = []
    for passage in passages:
        rendered = template.render(writing_messages(passage), add_generation_prompt=True)
        if len(rendered.ids) <= _MOST_TOKENS:
            prompts.append((passage, rendered.ids))
    markers = sorted(set(template.vocabulary.control.values()) - template.stop_ids)
    torch.manual_seed(0)
    while True:
        for start in range(0, len(prompts), _AT_ONCE):
            if time.monotonic() > until:
                return
            batch = sorted(prompts[start : start + _AT_ONCE], key=lambda each: len(each[1]))
            longest = len(batch[-1][1])
            ids = torch.tensor([[padding] * (longest - len(each)) + each for _, each in batch])
            mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for _, each in batch])
            said = model.generate(  # type: ignore[misc]  # its stub wants another class of model
                input_ids=ids.to(trainee.device),
                attention_mask=mask.to(trainee.device),
                max_new_tokens=_NEW,
                do_sample=True,
                temperature=0.8,
                top_p=0.95,
                top_k=0,
                suppress_tokens=markers,
                eos_token_id=sorted(template.stop_ids),
                pad_token_id=padding,
            )[:, longest:].tolist()
            for (passage, _), new in zip(batch, said, strict=True):
                words = [each for each in new if each not in template.stop_ids and each != padding]
                written = read_question(template.vocabulary.decode(words))
                if written and len(written.answer.split()) <= _LONGEST_ANSWER:
                    yield passage, written.question, written.answer


def _found(
    reader: ReaderInTraining, tokenizer: PairTokenizer, asked: Iterable[tuple[SourcePassage, str, str]]
) -> Iterator[dict[str, str | float]]:
    rows = list(asked)
    pairs = [tokenizer.pair(question, passage.title, passage.text) for passage, question, _ in rows]
    for (passage, question, answer), pair, span in zip(rows, pairs, find_spans(reader, pairs), strict=True):
        start = pair.spans[span.first - pair.first_of_text][0]
        end = pair.spans[span.last - pair.first_of_text][1]
        yield {
            "passage": passage.id,
            "question": question,
            "answer": answer,
            "found": passage.text[start:end],
            "margin": round(span.margin, 2),
            "relevance": round(span.relevance, 2),
        }


if __name__ == "__main__":
    command, *given = sys.argv[1:]
    if command == "prepare":
        prepare(Path(given[0]), Path(given[1]))
    elif command == "pairs":
        pairs(Path(given[0]), Path(given[1]), Path(given[2]))
    elif command == "read":
        read(Path(given[0]), Path(given[1]), Path(given[2]))
    elif command == "average":
        average([Path(each) for each in given[:-1]], Path(given[-1]))
    else:
        write(Path(given[0]), Path(given[1]), Path(given[2]), Path(given[3]), float(given[4]))
