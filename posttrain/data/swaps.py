"""Changed facts: the same passage with another number or name in it, and questions about somebody else.

A model that answers from memory gives itself away on both: it must follow the changed passage, and it
must refuse where the passage speaks of somebody else (Longpre et al. 2021, arXiv:2109.05052, section 3).
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random

from posttrain.data.grounded import Grounded, grounded_of, refused
from rag_service.answering.conversation import Record, SourcePassage, assistant
from rag_service.evaluation.measures import contains_gold

_NUMBER = re.compile(r"(?<![\w.,])\d+(?![\w.,]*\d)")
_NAME = re.compile(r"[A-Z][\w'-]*(?: [A-Z][\w'-]*){0,3}")
_FULL_NAME = re.compile(r"\b[A-Z][\w'-]+(?: [A-Z][\w'-]+)+\b")
_KINDS = {
    "person": re.compile(r"\b(?:who|whom|whose)\b", re.IGNORECASE),
    "place": re.compile(
        r"\bwhere\b|\b(?:what|which) (?:city|town|country|state|river|island|place)\b", re.IGNORECASE
    ),
}
_YEAR = re.compile(r"1[5-9]\d\d|20\d\d")
_TRIES = 20
_SUFFIX = "-changed"


def changed_facts(records: Iterable[Record], *, seed: int = 0) -> Iterator[Record]:
    """Yield, for each record where that is possible, one whose passage says something else.

    The gold answer is replaced in passage and reply: a number by another of as many digits (a year by
    a year of the same century), the name of a person or a place by one that answers another such question;
    a place that plays in a film would not be a changed fact but nonsense. Records in which the old answer,
    or the last word of an old name, would still stand somewhere are left out.
    """
    grounded = [parts for record in records if (parts := grounded_of(record)) and parts.gold]
    names: dict[str, set[str]] = {}
    for parts in grounded:
        if (kind := _kind(parts.question)) and _is_name(parts.record.meta.gold[0]):
            names.setdefault(kind, set()).add(parts.record.meta.gold[0])
    ordered = {kind: sorted(each) for kind, each in names.items()}
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    for parts in grounded:
        old = parts.record.meta.gold[0]
        new = other_answer(old, ordered.get(_kind(parts.question) or "", ()), random)
        if new and (record := _with_answer(parts, old, new)):
            yield record


def old_answers(records: Iterable[Record]) -> dict[str, tuple[str, ...]]:
    """Return, by the changed record's id, what its passage said before: no near miss may say it."""
    return {f"{record.id}{_SUFFIX}": record.meta.gold for record in records}


def _kind(question: str) -> str | None:
    """Return whether a question asks for a person or a place; None: for something else."""
    return next((kind for kind, form in _KINDS.items() if form.search(question)), None)


def other_answer(old: str, names: Sequence[str], random: Random) -> str | None:
    """Return an answer of the same kind as `old`, or None if it is neither name nor has one number."""
    numbers = _NUMBER.findall(old)
    if len(numbers) == 1:
        return _NUMBER.sub(_other_number(numbers[0], random), old)
    if not _is_name(old):
        return None
    fitting = [name for name in names if name != old and len(name.split()) == len(old.split())]
    return random.choice(fitting) if fitting else None


def about_others(records: Iterable[Record], *, seed: int = 0) -> Iterator[Record]:
    """Yield refusals: the question asks about another name than the passage speaks of.

    The question must name somebody or something, in two words or more, that stands in the passage;
    another such name from the other questions takes its place.
    """
    grounded = [parts for record in records if (parts := grounded_of(record)) and parts.gold]
    names = sorted({name for parts in grounded for name in _full_names(parts.question)})
    random = Random(seed)  # noqa: S311 - variety, not secrecy
    for parts in grounded:
        text = " ".join(f"{passage.title} {passage.text}" for passage in parts.passages)
        present = [name for name in _full_names(parts.question) if name in text]
        if not present:
            continue
        drawn = random.sample(names, min(_TRIES, len(names)))
        absent = (name for name in drawn if not contains_gold(text, [name, *name.split()]))
        if other := next(absent, None):
            yield _asked_about(parts, present[0], other)


def _asked_about(parts: Grounded, old: str, new: str) -> Record:
    *before, question = parts.history
    part = question.parts[0]
    asked = replace(question, parts=(replace(part, text=part.text.replace(old, new)),))
    search = replace(parts.search, text=parts.search.text.replace(old, new))
    other = replace(parts, history=(*before, asked), search=search)
    return refused(other, parts.passages, suffix="other-subject")


def _full_names(question: str) -> Iterator[str]:
    """The first word of a question is capital whatever it is; a name that begins there is cut."""
    for match in _FULL_NAME.finditer(question):
        name = match[0].partition(" ")[2] if match.start() == 0 else match[0]
        if " " in name:
            yield name


def _with_answer(parts: Grounded, old: str, new: str) -> Record | None:
    passages = tuple(_replaced(passage, old, new) for passage in parts.passages)
    texts = " ".join(passage.text for passage in passages)
    told_before = any(contains_gold(passage.text, [new]) for passage in parts.passages)
    gone = [*parts.record.meta.gold, *(old.split()[-1:] if _is_name(old) else ())]
    still_told = contains_gold(texts, gone) or contains_gold(parts.question, [old])
    if told_before or still_told or not contains_gold(texts, [new]):
        return None
    reply = [replace(part, text=part.text.replace(old, new)) for part in parts.reply]
    if not contains_gold(" ".join(part.text for part in reply), [new]):
        return None
    found = replace(parts.record.messages[-1].parts[1], passages=passages)
    return replace(
        parts.record,
        id=f"{parts.record.id}{_SUFFIX}",
        messages=(*parts.history, assistant(parts.search, found, *reply)),
        meta=replace(parts.record.meta, gold=(new,)),
    )


def _replaced(passage: SourcePassage, old: str, new: str) -> SourcePassage:
    whole_words = re.compile(rf"(?<!\w){re.escape(old)}(?!\w)", re.IGNORECASE)
    return replace(passage, text=whole_words.sub(lambda _match: new, passage.text))


def _other_number(digits: str, random: Random) -> str:
    kept = digits[:2] if _YEAR.fullmatch(digits) else ""
    for _ in range(_TRIES):
        length = len(digits) - len(kept)
        drawn = "".join(
            random.choice("123456789" if not n and not kept else "0123456789") for n in range(length)
        )
        if kept + drawn != digits:
            break
    return kept + drawn


def _is_name(answer: str) -> bool:
    return bool(_NAME.fullmatch(answer))
