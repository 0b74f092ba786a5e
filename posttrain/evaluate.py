"""The answerer's table: what it does with passages, without them, with tools, and what it forgot.

An evaluation set is a folder of records, a file for each thing that is measured; what is not there is
left out of the table. All answers are greedy, over the service's own prompt and tools.

==================  =============================================================================
file                measures
==================  =============================================================================
reading.jsonl       those of `rag_service.evaluation.answers`, over the record's passages: the gold
                    one among near misses, or near misses alone. Where the service's reader reads as
                    well, the answer is the one that stands then. A citation is a marker that the
                    model wrote, or the reader's passage; it is right if it names a gold passage
                    (ALCE's precision and recall with the gold passage in place of the entailment
                    model)
                    closed book: the same questions without passages
                    retrieved: the same questions with what the real retriever finds, if a collection
                    is given; records whose gold passage was taken away are left out there
changed.jsonl       follows the passage: the answer has the changed fact
search.jsonl        search decision (F1 of asking for a search where a passage is needed), searches where
                    one is needed, and valid searches: closed, and sharing a word with the question
arithmetic.jsonl    the last number is right, with the calculator and without
identity.jsonl      says its own name
closed.jsonl        with search off: refuses what it does not know, is right on what is well known
chat.jsonl          perplexity of the replies (`posttrain.perplexity`)
==================  =============================================================================
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from corpus.embedding import Embedder
from posttrain.asking import Written, ask, first_move
from posttrain.calibration import NEAR_MISS, Search, is_found
from posttrain.data.grounded import Grounded, grounded_of
from rag_service.answering.chat_model import ChatModel, Sampling
from rag_service.answering.conversation import Record, SourcePassage
from rag_service.evaluation.answers import MEASURES, Citation, Outcome, Reply
from rag_service.evaluation.measures import Estimate, contains_gold, estimate, words
from rag_service.evaluation.questions import Evidence, Question
from rag_service.retrieval.readings import Readers

SETS = ("reading", "changed", "search", "arithmetic", "identity", "closed")
_SEARCHING = frozenset({"rag_answer", "rag_refuse", "search", "probe_refuse"})
_MARKER = re.compile(r"\[(\d+)\]")
_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_SHORT, _STEPS = Sampling(max_tokens=80), Sampling(max_tokens=200)
_OF_RETRIEVED = (
    "exact match",
    "F1",
    "contains gold",
    "refusal recall",
    "over-refusal",
    "citation precision",
    "citation recall",
)
_ANY = ""  # in a collection the gold passage has another id; its text alone tells it
Share = tuple[float, float]
Progress = Callable[[int, int], None]
React = Callable[[ChatModel, Record], Iterator["Reaction"]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """One record, what the model wrote to it, and what that counts for each measure."""

    part: str
    record: str
    question: str
    text: str
    refused: bool
    shares: Mapping[str, Share]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model's measures with 95% intervals, and the single replies that they come from."""

    model: str
    base_sha256: str
    adapter_sha256: str | None
    measures: Mapping[str, Estimate]
    reactions: tuple[Reaction, ...]


def evaluate(
    model: ChatModel,
    sets: Mapping[str, Sequence[Record]],
    *,
    search: Search | None = None,
    embedder: Embedder | None = None,
    readers: Readers | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Evaluation:
    """Ask every record's question and measure the replies; `search` finds passages in a collection.

    With an embedder a trained model reads excerpts of the passages, as in the service; `readers` are
    the service's, which choose them.
    """
    reactions: list[Reaction] = []
    reads: dict[str, React] = {
        "reading": partial(_reading, embedder=embedder, readers=readers),
        "changed": partial(_changed, embedder=embedder, readers=readers),
        "arithmetic": partial(_arithmetic, readers=readers),
    }
    react_to: dict[str, React] = {**_REACT, **reads}
    wanted = [(react_to[part], record) for part in SETS for record in sets.get(part, ())]
    if search:
        wanted += [
            (partial(_retrieved, search=search, embedder=embedder, readers=readers), record)
            for record in sets.get("reading", ())
        ]
    for number, (react, record) in enumerate(wanted, start=1):
        reactions += react(model, record)
        progress(number, len(wanted))
    return Evaluation(
        model=model.name,
        base_sha256=model.fingerprint.base_sha256,
        adapter_sha256=model.fingerprint.adapter_sha256,
        measures=_estimates(reactions),
        reactions=tuple(reactions),
    )


def _estimates(reactions: Sequence[Reaction]) -> dict[str, Estimate]:
    names = dict.fromkeys(name for reaction in reactions for name in reaction.shares)
    return {
        name: estimate([each.shares[name] for each in reactions if name in each.shares]) for name in names
    }


def _reading(
    model: ChatModel, record: Record, *, embedder: Embedder | None = None, readers: Readers | None = None
) -> Iterator[Reaction]:
    """A record whose gold passage does not fit the context is left out: it asks for the impossible.

    Where excerpts are read, a gold passage that is not among them counts against the model.
    """
    parts = grounded_of(record)
    if parts is None:
        return
    written = ask(model, parts.history, parts.passages, sampling=_SHORT, embedder=embedder, readers=readers)
    if embedder is None and not {passage.id for passage in parts.gold} <= {
        passage.id for passage in written.read
    }:
        return
    outcome = Outcome(_question(parts), _reply(written))
    shares = {name: measure(outcome) for name, measure in MEASURES.items() if name != "evidence recall"}
    yield _reaction("reading", record, parts.question, written, shares)
    alone = ask(model, parts.history, sampling=_SHORT)
    right = not alone.refused and contains_gold(alone.text, record.meta.gold)
    closed = {"closed book: contains gold": (float(right), float(bool(record.meta.gold)))}
    yield _reaction("closed book", record, parts.question, alone, closed)


def _retrieved(
    model: ChatModel,
    record: Record,
    *,
    search: Search,
    embedder: Embedder | None = None,
    readers: Readers | None = None,
) -> Iterator[Reaction]:
    parts = grounded_of(record)
    if parts is None or record.id.endswith(NEAR_MISS):
        return
    found = search(parts.question)
    given = [SourcePassage(_ANY, passage.text, passage.document_title) for passage in found]
    written = ask(model, parts.history, given, sampling=_SHORT, embedder=embedder, readers=readers)
    evidence = tuple(Evidence(_ANY, passage.text) for passage in parts.gold)
    outcome = Outcome(replace(_question(parts), evidence=evidence), _reply(written))
    shares = {f"retrieved: {name}": MEASURES[name](outcome) for name in _OF_RETRIEVED}
    if parts.gold:
        shares["retrieved: gold is found"] = (float(is_found(parts, found)), 1.0)
    yield _reaction("retrieved", record, parts.question, written, shares)


def _question(parts: Grounded) -> Question:
    evidence = tuple(Evidence(passage.id, passage.text) for passage in parts.gold)
    return Question(parts.record.id, parts.record.task, parts.history, parts.record.meta.gold, evidence)


def _reply(written: Written) -> Reply:
    marks = [
        (mark, int(mark[1]))
        for mark in _MARKER.finditer(written.text)
        if 0 < int(mark[1]) <= len(written.read)
    ]
    citations = tuple(
        Citation(mark.start(), mark.end(), written.read[number - 1].id, written.read[number - 1].text)
        for mark, number in marks
    )
    return Reply(written.text, written.refused, () if written.refused else citations)


def _changed(
    model: ChatModel, record: Record, *, embedder: Embedder | None = None, readers: Readers | None = None
) -> Iterator[Reaction]:
    parts = grounded_of(record)
    if parts is None:
        return
    written = ask(model, parts.history, parts.passages, sampling=_SHORT, embedder=embedder, readers=readers)
    follows = not written.refused and contains_gold(written.text, record.meta.gold)
    shares = {"follows changed facts": (float(follows), 1.0)}
    yield _reaction("changed", record, parts.question, written, shares)


def _search(model: ChatModel, record: Record) -> Iterator[Reaction]:
    turns = record.messages[:-1]
    written, call = first_move(model, turns, sampling=_SHORT)
    searched, needed = call is not None and call.kind == "search", record.task in _SEARCHING
    hit, miss = float(searched and needed), float(searched != needed)
    shares: dict[str, Share] = {"search decision F1": (2 * hit, 2 * hit + miss)}
    if needed:
        shares["searches where needed"] = (hit, 1.0)
    if call and searched:
        shared = set(words(call.text)) & set(words(turns[-1].text))
        shares["valid searches"] = (float(call.closed and bool(shared)), 1.0)
    yield _reaction("search", record, turns[-1].text, written, shares)


def _arithmetic(model: ChatModel, record: Record, *, readers: Readers | None = None) -> Iterator[Reaction]:
    turns = record.messages[:-1]
    written = ask(model, turns, sampling=_STEPS, readers=readers)
    shares: dict[str, Share] = {
        "arithmetic": (float(has_last_number(written.text, record.meta.gold)), 1.0),
        "arithmetic: calls the calculator": (float(bool(written.calls)), 1.0),
    }
    yield _reaction("arithmetic", record, turns[-1].text, written, shares)
    alone = written
    if written.calls:  # without a call the two are the same
        alone, _ = first_move(model, turns, sampling=_STEPS)
    right = has_last_number(alone.text, record.meta.gold)
    without: dict[str, Share] = {"arithmetic without calculator": (float(right), 1.0)}
    yield _reaction("arithmetic without calculator", record, turns[-1].text, alone, without)


def _identity(model: ChatModel, record: Record) -> Iterator[Reaction]:
    turns = [message for message in record.messages[:-1] if message.role != "system"]
    written = ask(model, turns, sampling=_SHORT)
    shares = {"identity": (float(contains_gold(written.text, record.meta.gold)), 1.0)}
    yield _reaction("identity", record, turns[-1].text, written, shares)


def _closed(model: ChatModel, record: Record) -> Iterator[Reaction]:
    turns = record.messages[:-1]
    written = ask(model, turns, sampling=_SHORT)
    if record.task == "probe_refuse":
        shares: dict[str, Share] = {"closed book: refuses the unknown": (float(written.refused), 1.0)}
    else:
        right = not written.refused and contains_gold(written.text, record.meta.gold)
        shares = {"closed book: right on the well known": (float(right), 1.0)}
    yield _reaction("closed", record, turns[-1].text, written, shares)


def has_last_number(text: str, gold: Sequence[str]) -> bool:
    """Whether the last number of a text is one of the gold numbers."""
    numbers = _NUMBER.findall(_MARKER.sub("", text))
    accepted = {_value(number) for answer in gold for number in _NUMBER.findall(answer)}
    return bool(numbers) and _value(numbers[-1]) in accepted


def _value(number: str) -> Decimal:
    return Decimal(number.replace(",", ""))


def _reaction(
    part: str, record: Record, question: str, written: Written, shares: Mapping[str, Share]
) -> Reaction:
    return Reaction(part, record.id, question, written.text, written.refused, shares)


_REACT: Mapping[str, Callable[[ChatModel, Record], Iterator[Reaction]]] = {
    "reading": _reading,
    "changed": _changed,
    "search": _search,
    "identity": _identity,
    "closed": _closed,
}
