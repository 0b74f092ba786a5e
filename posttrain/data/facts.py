"""Facts that everybody knows: closed-book questions that even a small model may answer.

Beside the refusals of what it does not hold, they keep it from refusing everything that is asked
without documents. The facts are general knowledge, written down for this project in
`general_knowledge.txt`; which of them a given model holds is for it to say (`posttrain.recipes.more_skills`).
"""

from collections.abc import Iterator
from importlib.resources import files

from posttrain.data.reading import Source, split_of
from rag_service.answering.conversation import Meta, Record, assistant, user

SOURCE = Source("general knowledge, written down by this project", "Apache-2.0")
_FILE = "general_knowledge.txt"
_DEV_PERCENT = 25


def known_facts() -> Iterator[Record]:
    """Yield the facts as questions without documents; a fact in all its forms falls on one side."""
    for number, (core, question, answers) in enumerate(_questions()):
        yield Record(
            id=f"fact-{number}",
            task="probe_known",
            split=split_of(core, dev_percent=_DEV_PERCENT),
            messages=(user(question), assistant(f"{answers[0][0].upper()}{answers[0][1:].rstrip('.')}.")),
            meta=Meta(gold=answers, answerable=False, source=SOURCE.name, license=SOURCE.license),
        )


def _questions() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield what tells a fact, a question for it and its right answers, as it is to be said first."""
    text = files(__package__).joinpath(_FILE).read_text(encoding="utf-8")
    forms: list[str] = []
    by_answer = False
    for line in text.splitlines():
        if line.startswith("["):
            by_answer = line.startswith("[~")
            forms = [form.strip() for form in line.lstrip("[~").split("|")]
        elif line and not line.startswith("#"):
            subject, _, told = line.partition(" = ")
            answers = tuple(each.strip() for each in told.split(" / "))
            core = (answers[0] if by_answer else subject).removeprefix("the ")
            for form in forms:
                gaps = subject.split(",") if form.count("{}") > 1 else [subject]
                question = form.format(*gaps)
                yield core, question[0].upper() + question[1:] if form.startswith("{") else question, answers
