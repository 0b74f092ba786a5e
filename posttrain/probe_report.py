"""What a probe found: records to train on, and a report by topic and popularity."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal

from posttrain.data.reading import REFUSAL, split_of
from posttrain.probe import ProbeResult
from posttrain.probe_questions import ProbeQuestion
from rag_service.answering.conversation import Message, Meta, Part, Record, Task, assistant, user
from rag_service.answering.tools import NOTHING_FOUND
from rag_service.evaluation.measures import Estimate, estimate

OnUnknown = Literal["refuse", "search"]
CLOSED_BOOK_REFUSAL = "I do not know that."
POPULARITY_BINS = 4  # with as many questions each


@dataclass(frozen=True, slots=True)
class Group:
    """Questions of one kind: verdicts, and the shares of draws that are right and that claim something."""

    name: str
    questions: int
    known: int
    between: int
    unknown: int
    right: Estimate
    claims: Estimate


@dataclass(frozen=True, slots=True)
class Report:
    """All questions, then by topic (the largest first), then by popularity (the least popular first)."""

    everything: Group
    topics: tuple[Group, ...]
    popularity: tuple[Group, ...]


def probe_records(
    questions: Iterable[ProbeQuestion], results: Mapping[str, ProbeResult], *, on_unknown: OnUnknown
) -> Iterator[Record]:
    """Yield a record for each known and each unknown question; those in between are dropped.

    Known: the model's own right answer. Unknown: a refusal, or a search with what it finds, answered
    from the question's passage; without a passage the search finds nothing and a refusal follows.
    """
    for question in questions:
        result = results[question.id]
        if result.verdict == "known":
            yield _record(question, "probe_known", assistant(_own_answer(result, question)))
        elif result.verdict == "unknown" and on_unknown == "refuse":
            yield _record(question, "probe_refuse", assistant(Part("refusal", CLOSED_BOOK_REFUSAL)))
        elif result.verdict == "unknown":
            yield _record(question, "search", _searching(question))


def _record(question: ProbeQuestion, task: Task, reply: Message) -> Record:
    passage = question.passage
    return Record(
        id=f"probe-{question.id}-{task}",
        task=task,
        split=split_of(passage.title or passage.id if passage else question.text),
        messages=(user(question.text), reply),
        meta=Meta(
            gold=question.answers,
            gold_passages=(passage.id,) if passage and task == "search" else (),
            source=question.source.name,
            license=question.source.license,
        ),
    )


def _own_answer(result: ProbeResult, question: ProbeQuestion) -> str:
    """The shortest right answer that came to its end: nothing is taught but to say what is known."""
    whole = [draw.text for draw in result.draws if draw.right and draw.ended]
    return min(whole, key=len, default=f"{question.answers[0].rstrip('.')}.")


def _searching(question: ProbeQuestion) -> Message:
    search = Part("search", question.text)
    if question.passage is None:
        return assistant(search, Part("calculate_result", NOTHING_FOUND), Part("refusal", REFUSAL))
    found = Part("search_result", passages=(question.passage,))
    return assistant(search, found, f"{question.answers[0].rstrip('.')} [1].")


def make_report(questions: Sequence[ProbeQuestion], results: Mapping[str, ProbeResult]) -> Report:
    """Count verdicts and shares, of all questions and group by group."""

    def group(name: str, members: Sequence[ProbeQuestion]) -> Group:
        own = [results[question.id] for question in members]
        verdicts = [result.verdict for result in own]
        return Group(
            name=name,
            questions=len(own),
            known=verdicts.count("known"),
            between=verdicts.count("between"),
            unknown=verdicts.count("unknown"),
            right=_share_of_draws(own, lambda result: result.right),
            claims=_share_of_draws(own, lambda result: sum(draw.claims for draw in result.draws)),
        )

    topics: dict[str, list[ProbeQuestion]] = {}
    for question in questions:
        topics.setdefault(question.topic, []).append(question)
    by_size = sorted(topics.items(), key=lambda item: -len(item[1]))
    return Report(
        everything=group("all", questions),
        topics=tuple(group(name or "no topic", members) for name, members in by_size),
        popularity=tuple(group(name, members) for name, members in _popularity_bins(questions)),
    )


def _share_of_draws(results: Sequence[ProbeResult], count: Callable[[ProbeResult], int]) -> Estimate:
    """Draws of one question depend on each other: the interval is over questions."""
    return estimate([(count(result), len(result.draws)) for result in results])


def _popularity_bins(questions: Sequence[ProbeQuestion]) -> Iterator[tuple[str, list[ProbeQuestion]]]:
    ranked = [(question.popularity, question) for question in questions if question.popularity is not None]
    ranked.sort(key=lambda item: item[0])
    bounds = [len(ranked) * n // POPULARITY_BINS for n in range(POPULARITY_BINS + 1)]
    for start, end in pairwise(bounds):
        if members := ranked[start:end]:
            yield f"{members[0][0]:g} to {members[-1][0]:g}", [question for _, question in members]


def report_markdown(report: Report, *, title: str) -> str:
    """Return the report as a page; intervals are 95% bootstrap intervals over questions."""
    sections = [("By popularity", report.popularity), ("By topic", report.topics)]
    tables = [f"## {name}\n\n{_table(groups)}" for name, groups in sections if groups]
    return "\n\n".join([f"# {title}", _table([report.everything]), *tables]) + "\n"


def _table(groups: Iterable[Group]) -> str:
    lines = [
        "| questions | | known | in between | unknown | draws right | draws that claim |",
        "|---|--:|--:|--:|--:|---|---|",
    ]
    lines += [
        f"| {each.name} | {each.questions} | {each.known} | {each.between} | {each.unknown} "
        f"| {_cell(each.right)} | {_cell(each.claims)} |"
        for each in groups
    ]
    return "\n".join(lines)


def _cell(found: Estimate) -> str:
    if found.value is None:
        return "-"
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def report_json(report: Report) -> str:
    """Return the report as JSON."""
    return json.dumps(asdict(report), ensure_ascii=False, indent=1) + "\n"
