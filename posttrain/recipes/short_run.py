"""The records of a short run: as many different, short examples as an hour or two on a CPU core can read.

    python posttrain/recipes/short_run.py SOURCES OUT [SCALE]

SOURCES holds the files as their makers publish them (.xz or plain); OUT gets a file of records a kind,
which `rag-train mix` and `rag-train data take` read. SCALE multiplies the training part. Same files, same
records.
"""

# ruff: noqa: INP001 - a script, run by its path
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from posttrain.data import arithmetic, chats, identity, more_reading, reading
from posttrain.data.distractors import PassagePool
from posttrain.data.excerpts import Excerpting, in_excerpts
from posttrain.data.facts import known_facts
from posttrain.data.files import read_csv, read_json, read_json_lines, read_records, write_records
from posttrain.data.grounded import grounded_of
from posttrain.data.reading import Source
from posttrain.data.sums import sum_records
from posttrain.data.swaps import about_others, changed_facts, old_answers
from posttrain.data.writing import writing_records
from rag_service.answering.conversation import Part, Record, Split, assistant

FEW = Excerpting()
FIVE = Excerpting(counts=(0, 0, 0, 0, 1), whole=1.0)  # as in evaluation: the gold passage among four
LONGEST_CHAT = 110  # words of a reply
_LONGEST_SOLUTION = 60  # words
OPEN = {"open_qa", "general_qa", "brainstorming", "creative_writing", "classification"}


# How many records of a kind are for training; a quarter as many are for development, if there are.
AMOUNTS = {
    "squad_answers": 1500,
    "qed_answers": 1700,
    "hotpot_answers": 350,
    "boolq": 60,
    "definitions": 120,
    "squad_changed": 180,
    "qed_changed": 150,
    "follow_ups": 80,
    "five": 40,
    "reasoned": 20,
    "squad_refusals": 80,
    "squad_near": 110,
    "qed_near": 160,
    "hotpot_near": 40,
    "squad_others": 120,
    "mawps": 400,
    "gsm8k": 30,
    "sums_bare": 150,
    "sums_read": 250,
    "identity": 100,
    "facts": 120,
    "unknown": 100,
    "dolly": 120,
    "writing": 20,
}


@dataclass(frozen=True, slots=True)
class Maker:
    """Draws the records of each kind and puts them over excerpts; a pool holds one split's passages."""

    out: Path
    random: Random
    scale: float
    pools: Mapping[tuple[str, Split], PassagePool]
    old: Mapping[str, Sequence[str]]  # what changed passages said before

    def write(
        self,
        name: str,
        records: Iterable[Record],
        pool: str = "",
        *,
        loses_gold: bool = False,
        how: Excerpting = FEW,
    ) -> None:
        """Write a file; with `pool` the records' passages become excerpts among near misses."""
        drawn = self._drawn(name, records)
        if pool:
            made = (
                in_excerpts(
                    each,
                    self.pools[pool, each.split],
                    how,
                    self.random,
                    loses_gold=loses_gold,
                    old=self.old.get(each.id, ()),
                )
                for each in drawn
            )
            drawn = [each for each in made if each]
        if name == "reasoned":
            drawn = list(thought(drawn))
        if name == "writing":
            drawn = list(writing_records(drawn))
        write_records(self.out / f"{name}.jsonl", drawn)

    def _drawn(self, name: str, records: Iterable[Record]) -> list[Record]:
        ordered, drawn = sorted(records, key=lambda record: record.id), []
        for split, share in (("train", self.scale), ("dev", 0.25)):
            some = [record for record in ordered if record.split == split]
            drawn += self.random.sample(some, min(len(some), round(AMOUNTS[name] * share)))
        return drawn


def make(sources: Path, out: Path, seed: int, scale: float) -> None:
    """Write all files."""
    squad = list(reading.import_squad(read_json(find_file(sources, "squad2*"))))
    qed = list(more_reading.import_qed(read_json_lines(find_file(sources, "qed*"))))
    hotpot = list(more_reading.import_halueval(read_json_lines(find_file(sources, "halueval*"))))
    random = Random(seed)  # noqa: S311 - an order of data, no secret
    maker = Maker(
        out,
        random,
        scale,
        pools_of({"squad": squad, "qed": qed, "hotpot": hotpot}),
        old_answers((*squad, *qed)),
    )
    _write_reading(maker, squad, qed, hotpot, seed)
    boolq = reading.import_boolq(read_json_lines(find_file(sources, "boolq*")))
    maker.write("boolq", boolq, "qed")
    pages = more_reading.import_definitions(read_json_lines(find_file(sources, "wikipedia_pages*")))
    maker.write("definitions", pages, "qed")
    maker.write("sums_bare", sum_records(900, read=False, seed=seed))
    maker.write("sums_read", sum_records(900, read=True, seed=seed))
    maker.write("mawps", arithmetic.import_mawps(read_csv(find_file(sources, "mawps*.csv*"))))
    gsm8k = arithmetic.import_gsm8k(read_json_lines(find_file(sources, "gsm8k*.jsonl*")))
    maker.write("gsm8k", (each for each in gsm8k if words_of(each) <= _LONGEST_SOLUTION))
    config = identity.read_identity(Path(__file__).with_name("identity.toml"))
    maker.write("identity", identity.identity_records(config, seed=seed))
    maker.write("facts", known_facts())
    maker.write("unknown", unknown(sources))
    rows = [row for row in read_json_lines(find_file(sources, "dolly*")) if row.get("category") in OPEN]
    dolly = chats.import_instructions(rows)
    maker.write("dolly", (each for each in dolly if words_of(each) <= LONGEST_CHAT))
    write_sets(out, squad, qed, maker.pools, seed)


def write_sets(
    out: Path,
    squad: Sequence[Record],
    qed: Sequence[Record],
    pools: Mapping[tuple[str, Split], PassagePool],
    seed: int,
) -> None:
    """Write the evaluation sets: held-back documents and words, five whole passages a question."""
    random = Random(seed + 1)  # noqa: S311 - an order of data, no secret

    old = old_answers((*squad, *qed))

    def five(records: Iterable[Record], pool: str, count: int, *, loses_gold: bool = False) -> list[Record]:
        held = sorted((each for each in records if each.split == "dev"), key=lambda record: record.id)
        drawn = random.sample(held, min(len(held), 2 * count))
        made = (
            in_excerpts(
                each, pools[pool, "dev"], FIVE, random, loses_gold=loses_gold, old=old.get(each.id, ())
            )
            for each in drawn
        )
        return [each for each in made if each][:count]

    def held(name: str, count: int) -> list[Record]:
        records = [each for each in read_records(out / f"{name}.jsonl") if each.split == "dev"]
        return random.sample(records, min(len(records), count))

    possible = [record for record in squad if record.task == "rag_answer"]
    impossible = [record for record in squad if record.task == "rag_refuse"]
    reading_set = five(possible, "squad", 30) + five(qed, "qed", 20)
    reading_set += five(impossible, "squad", 20) + five(possible, "squad", 15, loses_gold=True)
    reading_set += five(qed, "qed", 15, loses_gold=True)
    changed = five(changed_facts(squad, seed=seed), "squad", 25) + five(
        changed_facts(qed, seed=seed), "qed", 25
    )
    sets = {
        "reading": reading_set,
        "changed": changed,
        "search": [
            *held("squad_answers", 20),
            *held("unknown", 20),
            *held("dolly", 10),
            *held("identity", 10),
        ],
        "arithmetic": held("mawps", 35) + held("sums_bare", 15),
        "identity": held("identity", 60),
        "closed": held("unknown", 40) + held("facts", 30),
        "chat": held("dolly", 40),
    }
    for name, records in sets.items():
        random.shuffle(records)
        write_records(out / "sets" / f"{name}.jsonl", records)


def _write_reading(
    maker: Maker, squad: Sequence[Record], qed: Sequence[Record], hotpot: Sequence[Record], seed: int
) -> None:
    possible = [record for record in squad if record.task == "rag_answer"]
    maker.write("squad_answers", possible, "squad")
    maker.write("squad_refusals", (each for each in squad if each.task == "rag_refuse"), "squad")
    maker.write("squad_near", possible, "squad", loses_gold=True)
    maker.write("squad_others", about_others(squad, seed=seed), "squad")
    maker.write("squad_changed", changed_facts(squad, seed=seed), "squad")
    maker.write("follow_ups", more_reading.follow_ups(squad), "squad")
    maker.write("five", squad, "squad", how=FIVE)
    maker.write("writing", possible, "squad")
    maker.write("qed_answers", qed, "qed")
    maker.write("qed_near", qed, "qed", loses_gold=True)
    maker.write("qed_changed", changed_facts(qed, seed=seed), "qed")
    maker.write("reasoned", qed, "qed")
    maker.write("hotpot_answers", hotpot, "hotpot")
    maker.write("hotpot_near", hotpot, "hotpot", loses_gold=True)


def pools_of(sets: Mapping[str, Sequence[Record]]) -> dict[tuple[str, Split], PassagePool]:
    """A passage of a held-back document must not even be a near miss in training."""
    splits: tuple[Split, ...] = ("train", "dev")
    return {
        (name, split): PassagePool(record for record in records if record.split == split)
        for name, records in sets.items()
        for split in splits
    }


def thought(records: Iterable[Record]) -> Iterator[Record]:
    """Reasoning that a reader can check: the sentence of the passage that the answer comes from."""
    for record in records:
        parts = grounded_of(record)
        if parts is None or not parts.gold:
            continue
        sentence = more_reading.sentence_with(parts.gold[0].text, record.meta.gold)
        if not sentence:
            continue
        search, found, *reply = record.messages[-1].parts
        turn = assistant(search, found, Part("reasoning", sentence), *reply)
        yield replace(record, id=f"{record.id}-reasoned", messages=(*record.messages[:-1], turn))


def unknown(sources: Path) -> Iterator[Record]:
    """Yield questions without passages, which a model is to search for."""
    for pattern, source in (
        ("popqa*", Source("PopQA", "MIT")),
        ("triviaqa*", Source("TriviaQA", "Apache-2.0")),
        ("efficientqa*", Source("EfficientQA", "CC BY-SA 3.0")),
    ):
        yield from more_reading.closed_book(read_json_lines(find_file(sources, pattern)), source)


def words_of(record: Record) -> int:
    """Return how many words the last turn has."""
    return len(record.messages[-1].text.split())


def find_file(sources: Path, pattern: str) -> Path:
    """Return the first file of that name, wherever in the folder it lies."""
    return next(path for path in sorted(sources.rglob(pattern)) if path.is_file())


if __name__ == "__main__":
    make(Path(sys.argv[1]), Path(sys.argv[2]), seed=0, scale=float(sys.argv[3]) if len(sys.argv) > 3 else 1.0)  # noqa: PLR2004
