"""The records of a run that goes on from a trained adapter on a CPU: what that one was weak in, and replay.

    python posttrain/recipes/more_skills.py known MODEL KNOWN      # which facts the untouched model holds
    python posttrain/recipes/more_skills.py make SOURCES DATA KNOWN OUT
    python posttrain/recipes/more_skills.py average ADAPTER ADAPTER… OUT

SOURCES are the sets as their makers publish them, DATA is what `gpu_run.py` made of them. Short records
cost a CPU little, so most are short: facts that the model held before it was trained, word problems,
requests that need no search although there is one. Passages in which a fact was changed, and a few percent
of what it was trained on, keep it reading. OUT gets `train.jsonl` and `dev.jsonl`, for
`rag-train sft --start`, each in two halves (`OUT/a`, `OUT/b`), since two processes on two cores read two
fifths more than one on both; their mean is the result. `closed.jsonl` there is an evaluation set, with facts
that the untouched model held.
"""

# ruff: noqa: INP001 - a script, run by its path
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from random import Random

from corpus.settings import Settings
from posttrain.asking import ask
from posttrain.averaging import average_adapters
from posttrain.data import chats
from posttrain.data.facts import known_facts
from posttrain.data.files import read_json_lines, read_records, write_records
from posttrain.data.reading import split_of
from posttrain.data.statistics import Shingles, texts_of
from posttrain.data.word_problems import word_problems
from posttrain.mix import introduced
from posttrain.recipes.short_run import LONGEST_CHAT, find_file, words_of
from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import Record, Split, assistant, system
from rag_service.answering.local_model import load_chat_model
from rag_service.answering.prompt import system_text
from rag_service.evaluation.measures import contains_gold

# How many of each of DATA's files, of their training part.
REPLAY = {
    "squad_answers": 350,
    "qed_answers": 300,
    "written_answers": 250,
    "hotpot_answers": 250,
    "follow_ups": 80,
    "pointing_back": 100,
    "definitions": 60,
    "boolq": 40,
    "squad_refusals": 300,
    "squad_others": 100,
    "qed_near": 150,
    "written_near": 150,
    "squad_changed": 350,
    "qed_changed": 350,
    "written_changed": 300,
    "mawps": 1464,
    "gsm8k": 350,
    "sums_bare": 250,
    "sums_over": 350,
    "sums_read": 100,
    "identity": 250,
    "unknown": 500,
    "dolly": 250,
}
_EACH_FACT = 3  # times, each with the system message of another day
_WORD_PROBLEMS = 1400
_NEED_NO_SEARCH = {"brainstorming", "creative_writing", "classification"}
_CHATS = 350
HALVES = ("a", "b")
_CLOSED = 60  # of each kind, to evaluate on
_DEV_PERCENT = 4
_LONGEST_FACT = 14  # words
_SENTENCE_END = re.compile(r"(?<=[.!])\s")
_BRIEFLY = Sampling(max_tokens=32)


def ask_facts(model_name: str) -> Iterator[dict[str, object]]:
    """Ask an untouched model for every fact; yield question, reply, and whether a right answer is in it."""
    model = load_chat_model(model_name, models_dir=Settings.load().models_dir)
    for record in known_facts():
        said = ask(model, record.messages[:-1], sampling=_BRIEFLY).text
        right = contains_gold(said, record.meta.gold)
        yield {"id": record.id, "question": record.messages[0].text, "said": said, "right": right}


@dataclass(frozen=True, slots=True)
class Ingredients:
    """Where records come from."""

    sources: Path
    data: Path
    known: Path

    def closed(self, random: Random) -> list[Record]:
        """Return questions without documents that are held back: half unknown, half held."""
        unknown = [each for each in read_records(self.data / "unknown.jsonl") if each.split == "dev"]
        known = list(self._held("dev"))
        return [
            *random.sample(unknown, min(_CLOSED, len(unknown))),
            *random.sample(known, min(_CLOSED, len(known))),
        ]

    def all(self, random: Random) -> Iterator[Record]:
        """Yield all records, each with its system message."""
        for name, amount in REPLAY.items():
            records = [each for each in read_records(self.data / f"{name}.jsonl") if each.split == "train"]
            yield from _introduced(random.sample(records, min(amount, len(records))), random)
        yield from _introduced(self._facts(), random)
        problems = [each for each in word_problems(2 * _WORD_PROBLEMS) if each.split == "train"]
        yield from _introduced(problems[:_WORD_PROBLEMS], random)
        yield from chats_beside_a_search(self.sources, random)

    def _facts(self) -> Iterator[Record]:
        """Yield the facts that the model held, said as it said them: what is nearest to it costs it least."""
        for record in self._held("train"):
            yield from (replace(record, id=f"{record.id}-{turn}") for turn in range(_EACH_FACT))

    def _held(self, split: Split) -> Iterator[Record]:
        yield from (each for each in held_facts(self.known) if each.split == split)


def held_facts(known: Path) -> Iterator[Record]:
    """Yield the facts that the untouched model held, in its own words; `known` is what `ask_facts` gave."""
    said = {str(row["question"]): str(row["said"]) for row in read_json_lines(known) if row["right"]}
    for record in known_facts():
        asked = record.messages[0]
        if asked.text in said:
            yield replace(record, messages=(asked, assistant(_in_short(record, said[asked.text]))))


def chats_beside_a_search(sources: Path, random: Random) -> Iterator[Record]:
    """Yield requests that need no document, under the system message that offers a search."""
    rows = [
        row for row in read_json_lines(find_file(sources, "dolly*")) if row.get("category") in _NEED_NO_SEARCH
    ]
    chatty = [each for each in chats.import_instructions(rows) if words_of(each) <= LONGEST_CHAT]
    chatty = [each for each in chatty if each.split == "train"]
    opening = system(system_text(date(2025, 3, 1), search=True))
    for record in random.sample(chatty, min(_CHATS, len(chatty))):
        yield replace(record, id=f"{record.id}-search", messages=(opening, *record.messages))


def _in_short(record: Record, said: str) -> str:
    """Return a reply's first sentence if it is short and answers, else the fact alone."""
    first = _SENTENCE_END.split(said.strip(), maxsplit=1)[0]
    whole = first.endswith((".", "!")) and len(first.split()) <= _LONGEST_FACT
    return first if whole and contains_gold(first, record.meta.gold) else record.messages[-1].text


def _side_of(record: Record) -> str:
    return split_of(record.messages[-2].text, dev_percent=_DEV_PERCENT)


def _introduced(records: Iterable[Record], random: Random) -> Iterator[Record]:
    return (introduced(record, random, share=0.97) for record in records)


def make(ingredients: Ingredients, out: Path, seed: int = 0) -> None:
    """Write the records; what shares thirteen words with an evaluation set is left out."""
    random = Random(seed)  # noqa: S311 - an order of data, no secret
    sets = [record for path in (ingredients.data / "sets").glob("*.jsonl") for record in read_records(path)]
    reading = [each for each in sets if each.task in {"rag_answer", "rag_refuse", "calculate"}]
    shingles = Shingles(text for record in reading for text in texts_of(record))
    records = list(ingredients.all(random))
    leaks = {each.id for each in shingles.leaks(each for each in records if each.task != "identity")}
    records = [each for each in records if each.id not in leaks]
    random.shuffle(records)
    for split in ("train", "dev"):
        kept = [each for each in records if _side_of(each) == split]  # all that ask the same on one side
        for half, name in enumerate(HALVES):
            write_records(out / name / f"{split}.jsonl", kept[half::2])
    write_records(out / "closed.jsonl", ingredients.closed(random))
    print(f"{len(records)} records, {len(leaks)} left out")  # noqa: T201


if __name__ == "__main__":
    if sys.argv[1] == "known":
        rows = list(ask_facts(sys.argv[2]))
        Path(sys.argv[3]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif sys.argv[1] == "average":
        average_adapters([Path(each) for each in sys.argv[2:-1]], Path(sys.argv[-1]))
    else:
        given = [Path(each) for each in sys.argv[2:]]
        make(Ingredients(*given[:3]), given[3])
