"""Holds a written `rag` command against the real ones."""

import re
import shlex
from collections.abc import Iterator, Sequence

from typer.main import get_command

from rag_service.cli import app

FENCE = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
RAG = re.compile(r"(?:^|[\s/(;&|@])rag ([^\n|;>]*)")


def written_commands(text: str) -> Iterator[list[str]]:
    """Yield the words after `rag` of every command in a shell text."""
    for line in text.replace("\\\n", " ").splitlines():
        if not line.lstrip().startswith("#"):
            for words in RAG.findall(line):
                yield shlex.split(words, comments=True)


def faults(words: Sequence[str]) -> list[str]:
    """Return what is wrong with a command: no such command, no such option."""
    command = get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-"):
            break
        name = rest.pop(0)
        if name not in command.commands:
            return [f"no command {name!r} in `rag {' '.join(words)}`"]
        command = command.commands[name]
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    known |= {"--help", "-h", "--debug"}
    options = [word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"]
    return [f"no option {option} in `rag {' '.join(words)}`" for option in options if option not in known]
