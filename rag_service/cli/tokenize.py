"""`rag tokenize`: conversations as the chat model sees them."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson

if TYPE_CHECKING:
    from rag_service.answering.conversation import Message
    from rag_service.answering.template import Template

# Colours of a dark and of a light terminal alike; what the loss counts is underlined.
COLOURS = {
    "frame": "bright_black",
    "system": "magenta",
    "user": "blue",
    "text": "green",
    "refusal": "green",
    "reasoning": "yellow",
    "search": "cyan",
    "calculate": "cyan",
    "search_result": "red",
    "calculate_result": "red",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: what it adds to the text, whose it is, and whether training counts it."""

    id: int
    text: str
    role: str
    trained: bool


def tokenize(
    file: Annotated[
        str,
        typer.Argument(metavar="FILE|-", help="Conversations as JSON lines, or a text; - is standard input."),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Show conversations as tokens: text, ids, roles, and what the loss counts.

    JSON lines are records of conversations, or objects with `messages`; anything else is taken as one
    question. The chat model's own template is used.
    """
    from corpus.settings import Settings
    from rag_service.answering.model_files import adapter_folder, find_model
    from rag_service.answering.template import load_template

    settings = Settings.load()
    conversations = list(conversations_of(read_input(file)))
    files = find_model(settings.chat_model, models_dir=settings.models_dir)
    adapter = adapter_folder(settings.chat_model, settings.adapter)
    template = load_template(files.folder, Path(adapter) if adapter else None)
    for messages in conversations:
        tokens = list(tokens_of(template, messages))
        if as_json:
            terminal.print_json(_json(tokens))
        elif terminal.is_terminal():
            _print_coloured(tokens)
        else:
            terminal.print_table(
                (), ((t.id, t.role, int(t.trained), json.dumps(t.text, ensure_ascii=False)) for t in tokens)
            )


def read_input(file: str) -> str:
    """Return a file's text, or that of standard input for ``-``."""
    return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")


def conversations_of(content: str) -> Iterator["list[Message]"]:
    """Yield the conversations of JSON lines, or else the whole text as one question.

    Raises:
        InvalidRecord: a line looks like a conversation and is none.
    """
    from rag_service.answering.conversation import user

    lines = [line for line in content.split("\n") if line.strip()]
    if not lines or not lines[0].lstrip().startswith("{"):
        yield [user(content.removesuffix("\n"))]
        return
    for number, line in enumerate(lines, start=1):
        yield _messages(number, line)


def _messages(number: int, line: str) -> "list[Message]":
    from corpus.errors import InvalidRecord
    from rag_service.answering.conversation import message_from_dict

    try:
        turns = json.loads(line)["messages"]
        return [message_from_dict(turn) for turn in turns]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRecord(f"Line {number} is no conversation ({error}); it needs `messages`.") from error


def tokens_of(template: "Template", messages: "list[Message]") -> Iterator[Token]:
    """Yield the tokens of a conversation; a last turn that is not the assistant's opens its turn."""
    open_turn = messages[-1].role != "assistant"
    rendered = template.render(messages, add_generation_prompt=open_turn)
    stream = template.vocabulary.text_stream()
    for number, role, trained in zip(rendered.ids, rendered.roles, rendered.loss_mask, strict=True):
        yield Token(number, stream.feed(number), role, trained)


def _json(tokens: list[Token]) -> dict[str, object]:
    return {
        "ids": [token.id for token in tokens],
        "texts": [token.text for token in tokens],
        "roles": [token.role for token in tokens],
        "loss_mask": [token.trained for token in tokens],
    }


def _print_coloured(tokens: list[Token]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    shown = Text()
    for token in tokens:
        style = COLOURS.get(token.role, "")
        shown.append(token.text, style=f"{style} underline" if token.trained else style)
    console.print(shown)
    roles = dict.fromkeys(token.role for token in tokens)
    legend = Text("  ").join(Text(role, style=COLOURS.get(role, "")) for role in roles)
    trained = sum(token.trained for token in tokens)
    console.print(legend, f"  {len(tokens)} tokens, {trained} of them trained (underlined)\n")
