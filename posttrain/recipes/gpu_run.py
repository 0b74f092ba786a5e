"""The records of a run on one GPU: ten times those of a short run, over whole sets.

    python posttrain/recipes/gpu_run.py SOURCES OUT [QUESTIONS PASSAGES [KNOWN]]

SOURCES and OUT are those of `short_run.py`; QUESTIONS and PASSAGES are what `wiki_questions.py` wrote, if it
ran, KNOWN which facts the untouched model holds (`more_skills.py known`). Three of SQuAD's articles are
kept out, two more than `short_run.py` does, so that reading is measured on more than one. Same files, same
records.
"""

# ruff: noqa: INP001 - a script, run by its path
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from random import Random

from posttrain.data import arithmetic, chats, identity, more_reading, reading
from posttrain.data.excerpts import Excerpting, in_excerpts
from posttrain.data.facts import known_facts
from posttrain.data.files import Json, read_csv, read_json, read_json_lines, write_records
from posttrain.data.pointing_back import pointing_back
from posttrain.data.reading import Source, grounded_record, split_of
from posttrain.data.sums import sum_records
from posttrain.data.sums_over_passages import sums_over_passages
from posttrain.data.swaps import about_others, changed_facts, old_answers
from posttrain.data.word_problems import word_problems
from posttrain.data.writing import writing_records
from posttrain.recipes.more_skills import chats_beside_a_search, held_facts
from posttrain.recipes.short_run import (
    LONGEST_CHAT,
    OPEN,
    find_file,
    pools_of,
    thought,
    unknown,
    words_of,
    write_sets,
)
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.evaluation.measures import contains_gold, token_f1

KEPT_OUT = {"Rhine", "Victoria (Australia)", "Warsaw"}  # SQuAD's, as in `recipes/reader.py`
WRITTEN = Source("questions written by a model about Wikipedia", "text CC BY-SA 4.0")
# As the service shows passages: the sentences that fit best and their neighbours, of one to four passages.
FEW = Excerpting(fewest_words=20, most_words=90, counts=(0.2, 0.25, 0.25, 0.2, 0.1), whole=0.06)
PAIR = Excerpting(fewest_words=20, most_words=70, counts=(0, 0.35, 0.35, 0.3), whole=0.05)
_SEED = 0
_SAME_F1 = 0.6
_LONGEST_SOLUTION = 90  # words
_DEFINITIONS = 3500
_RENUMBERED = 6  # times, each with other numbers
_WORD_PROBLEMS = 3000
_FACTS = 5  # times each, under the system messages of other days
_LONGEST_ANSWER = 25  # words
_LONGEST_HISTORY = 4  # messages before the question


@dataclass(frozen=True, slots=True)
class Draw:
    """What becomes of a set of records: how many times each is put over other excerpts, how many at most."""

    name: str
    records: Sequence[Record]
    pool: str = ""
    times: int = 1
    most: int | None = None
    loses_gold: bool = False
    how: Excerpting = FEW
    old: Mapping[str, Sequence[str]] = field(default_factory=dict)  # what changed passages said before


def make(sources: Path, out: Path, *given: Path) -> None:
    """Write a file of records for every draw; `given` are QUESTIONS, PASSAGES, KNOWN, or fewer."""
    questions, passages, known = (*given, None, None, None)[:3]
    random = Random(_SEED)  # noqa: S311 - an order of data, no secret
    sets = Sets.read(sources)
    draws = [*_reading_draws(sources, sets, questions, passages, _SEED), *_other_draws(sources, known, _SEED)]
    by_pool: dict[str, list[Record]] = {}
    for draw in draws:
        if draw.pool:
            by_pool.setdefault(draw.pool, []).extend(draw.records)
    pools = pools_of(by_pool)
    for draw in draws:
        records = list(draw.records)
        if draw.most is not None:
            records = random.sample(records, min(draw.most, len(records)))
        made: Iterable[Record] = records
        if draw.pool:
            made = (
                replace(found, id=f"{found.id}-{turn}")
                for turn in range(draw.times)
                for each in records
                if (
                    found := in_excerpts(
                        each,
                        pools[draw.pool, each.split],
                        draw.how,
                        random,
                        loses_gold=draw.loses_gold,
                        old=draw.old.get(each.id, ()),
                    )
                )
            )
        made = thought(made) if draw.name == "reasoned" else made
        count = write_records(out / f"{draw.name}.jsonl", list(made))
        print(draw.name, count, flush=True)  # noqa: T201
    write_sets(out, sets.squad, sets.qed, pools, _SEED)


@dataclass(frozen=True, slots=True)
class Sets:
    """What both training and evaluation draw from."""

    squad: list[Record]
    qed: list[Record]

    @classmethod
    def read(cls, sources: Path) -> "Sets":
        """Read both; of SQuAD the articles that are kept out are for development."""
        squad = reading.import_squad(read_json(find_file(sources, "squad2*")))
        qed = more_reading.import_qed(read_json_lines(find_file(sources, "qed*")))
        return cls([_held(each) for each in squad], list(qed))


def _reading_draws(
    sources: Path, sets: Sets, questions: Path | None, passages: Path | None, seed: int
) -> Iterator[Draw]:
    squad, qed = sets.squad, sets.qed
    hotpot = list(more_reading.import_halueval(read_json_lines(find_file(sources, "halueval*"))))
    boolq = list(reading.import_boolq(read_json_lines(find_file(sources, "boolq*"))))
    quac = list(reading.import_quac(read_json_lines(find_file(sources, "quac*"))))
    possible = [each for each in squad if each.task == "rag_answer"]
    impossible = [each for each in squad if each.task == "rag_refuse"]
    yield Draw("squad_answers", possible, "squad", times=3)
    yield Draw("squad_refusals", impossible, "squad", times=3)
    yield Draw("squad_near", possible, "squad", most=2000, loses_gold=True)
    yield Draw("squad_others", list(about_others(squad, seed=seed)), "squad", most=700)
    yield _changed("squad", squad, seed, times=2)
    yield Draw("qed_answers", qed, "qed", times=2)
    yield Draw("qed_near", qed, "qed", most=4000, loses_gold=True)
    yield _changed("qed", qed, seed, most=2500)
    yield Draw("reasoned", qed, "qed", most=400)
    yield Draw("hotpot_answers", hotpot, "hotpot", how=PAIR)
    yield Draw("hotpot_near", hotpot, "hotpot", most=1500, loses_gold=True, how=PAIR)
    yield Draw("boolq", boolq, "boolq", most=2500)
    yield Draw("quac", [each for each in quac if _is_clean(each)], "quac", most=2500)
    yield Draw("follow_ups", list(more_reading.follow_ups(squad)), "squad", most=900)
    yield Draw("definitions", list(_definitions(sources)), "qed", most=_DEFINITIONS)
    yield Draw("writing", list(writing_records((*possible, *qed))), most=600)
    if questions and passages:
        written = list(written_records(questions, passages))
        yield Draw("written_answers", written, "written", times=2)
        yield Draw("written_near", written, "written", most=4000, loses_gold=True)
        yield Draw("written_others", list(about_others(written, seed=seed)), "written", most=700)
        yield _changed("written", written, seed, most=1500)
        yield Draw("pointing_back", _pointing(squad, written), "squad", most=2500)


def _changed(
    pool: str, records: Sequence[Record], seed: int, *, times: int = 1, most: int | None = None
) -> Draw:
    made = list(changed_facts(records, seed=seed))
    return Draw(f"{pool}_changed", made, pool, times=times, most=most, old=old_answers(records))


def _other_draws(sources: Path, known: Path | None, seed: int) -> Iterator[Draw]:
    yield Draw("sums_bare", list(sum_records(3000, read=False, seed=seed)))
    yield Draw("sums_read", list(sum_records(1500, read=True, seed=seed)))
    yield Draw("sums_over", list(sums_over_passages(6000, seed=seed)))
    problems = list(read_csv(find_file(sources, "mawps*.csv*")))
    yield Draw("mawps", list(arithmetic.import_mawps(problems)))
    yield Draw("mawps_renumbered", list(arithmetic.renumbered_mawps(problems, times=_RENUMBERED, seed=seed)))
    yield Draw("word_problems", list(word_problems(_WORD_PROBLEMS, seed=seed)))
    gsm8k = arithmetic.import_gsm8k(read_json_lines(find_file(sources, "gsm8k*.jsonl*")))
    yield Draw("gsm8k", [each for each in gsm8k if words_of(each) <= _LONGEST_SOLUTION], most=4000)
    config = identity.read_identity(Path(__file__).with_name("identity.toml"))
    yield Draw("identity", list(identity.identity_records(config, seed=seed)))
    facts = list(held_facts(known) if known else known_facts())
    yield Draw("facts", [again for each in facts for again in _several_times(each)])
    random = Random(seed)  # noqa: S311 - an order of data, no secret
    yield Draw("chats_beside_a_search", list(chats_beside_a_search(sources, random)))
    yield Draw("unknown", [each for each in unknown(sources) if each.meta.source != "EfficientQA"])
    rows = [row for row in read_json_lines(find_file(sources, "dolly*")) if row.get("category") in OPEN]
    dolly = [each for each in chats.import_instructions(rows) if words_of(each) <= LONGEST_CHAT]
    yield Draw("dolly", dolly, most=3000)


def _several_times(record: Record) -> Iterator[Record]:
    """Yield a fact to train on as often as it is to be read."""
    for turn in range(_FACTS if record.split == "train" else 1):
        yield replace(record, id=f"{record.id}-{turn}")


def _held(record: Record) -> Record:
    return replace(record, split="dev") if _title(record) in KEPT_OUT else replace(record, split="train")


def _is_clean(record: Record) -> bool:
    """Tell whether all answers of a conversation are words of its passage: QuAC's run together."""
    (passage,) = record.messages[-1].parts[1].passages
    said = [message.text for message in record.messages[:-1] if message.role == "assistant"]
    answers = [*said, *record.meta.gold[:1]]
    return len(record.messages) <= _LONGEST_HISTORY + 2 and all(
        each == reading.REFUSAL or (each in passage.text and len(each.split()) <= _LONGEST_ANSWER)
        for each in answers
    )


def _title(record: Record) -> str:
    return record.messages[-1].parts[1].passages[0].title


def _definitions(sources: Path) -> Iterator[Record]:
    pages = read_json_lines(find_file(sources, "wikipedia_pages*"))
    seen: set[str] = set()
    for record in more_reading.import_definitions(chain(pages, _short_pages(sources))):
        if record.id not in seen:
            seen.add(record.id)
            yield record


def _short_pages(sources: Path) -> Iterator[dict[str, Json]]:
    """Yield pages of one paragraph."""
    for part in (1, 2):
        rows = read_json(find_file(sources, f"wiki_passages_{part}*"))
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict):
                yield {"title": row["title"], "paragraphs": [row["text"]]}


def written_records(questions: Path, passages: Path) -> Iterator[Record]:
    """Yield the questions whose answer the reader found again, answered in the words of the passage."""
    known = {
        number: (title, text) for number, title, text in json.loads(passages.read_text(encoding="utf-8"))
    }
    for count, row in enumerate(read_json_lines(questions)):
        title, text = known[str(row["passage"])]
        answer, found = str(row["answer"]).strip(" .,"), str(row["found"]).strip(" .,")
        answer = answer if answer and answer in text else found
        same = token_f1(str(row["answer"]), [found]) >= _SAME_F1
        if not same or not answer or contains_gold(str(row["question"]), [answer]):
            continue
        passage = SourcePassage(str(row["passage"]), text, title)
        asked = reading.as_question(str(row["question"])) if count % 2 else str(row["question"])
        yield grounded_record(
            f"written-{count}", asked, passage, [answer], split=split_of(title), source=WRITTEN
        )


def _pointing(squad: Sequence[Record], written: Sequence[Record]) -> list[Record]:
    ordered = sorted(written, key=_title)  # questions about one page side by side
    return [*pointing_back(squad), *pointing_back(ordered)]


if __name__ == "__main__":
    given = [Path(each) for each in sys.argv[1:]]
    make(*given)
