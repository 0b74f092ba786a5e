"""Replies kept in a file while an evaluation runs, so that a broken-off one goes on where it stopped."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from rag_service.evaluation.answers import Citation, Mode, Reply
from rag_service.evaluation.questions import Question

Ask = Callable[[Question, Mode], Reply]
Key = tuple[str, str, str]  # question's id, its text, mode


def kept_replies(ask: Ask, path: Path) -> Ask:
    """Return `ask` with a memory: what `path` holds is not asked again, what is new is appended to it.

    The file knows the questions but not the model that replied: use one file a model. A last line that
    was cut off is asked again.
    """
    known = dict(_read(path)) if path.exists() else {}

    def ask_once(question: Question, mode: Mode) -> Reply:
        key = (question.id, question.text, mode)
        if key not in known:
            known[key] = ask(question, mode)
            _append(path, key, known[key])
        return known[key]

    return ask_once


def _read(path: Path) -> Iterator[tuple[Key, Reply]]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            fields = json.loads(line)
        except ValueError:
            continue
        citations = tuple(Citation(**each) for each in fields["reply"].pop("citations"))
        yield tuple(fields["key"]), Reply(**fields["reply"], citations=citations)


def _append(path: Path, key: Key, reply: Reply) -> None:
    with path.open("a+", encoding="utf-8") as file:
        if file.tell() and not path.read_text(encoding="utf-8").endswith("\n"):
            file.write("\n")  # the line before was cut off
        file.write(json.dumps({"key": key, "reply": asdict(reply)}, ensure_ascii=False) + "\n")
