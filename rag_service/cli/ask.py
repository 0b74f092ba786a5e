"""`rag ask` and `rag chat`: answers with the sources that they rest on."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson, Collections
from rag_service.cli.workplace import open_service

if TYPE_CHECKING:
    from rag_service.answering.answer import Answer, AnswerRequest
    from rag_service.answering.conversation import Message
    from rag_service.api.answering import Finished
    from rag_service.service import Service

Mode = Annotated[
    Literal["always", "auto", "never"],
    typer.Option(help="Search first; let the model decide; or never search: what the model says by itself."),
]
TopK = Annotated[int, typer.Option("--top-k", "-k", min=1, max=100, help="At most how many passages.")]
LEAVE = {"exit", "quit", "/exit", "/quit", "/bye"}


def ask(
    question: Annotated[
        str,
        typer.Argument(metavar="QUESTION|-", help="The question; - reads one a line from standard input."),
    ],
    *,
    collections: Collections = None,
    mode: Mode = "always",
    top_k: TopK = 8,
    as_json: AsJson = False,
) -> None:
    """Answer a question from the documents, with the sentences that the answer rests on."""
    from corpus.errors import InvalidRequest

    questions = [line.strip() for line in sys.stdin if line.strip()] if question == "-" else [question]
    if not any(each.strip() for each in questions):
        raise InvalidRequest("There is no question; write it in quotes, or one a line into `rag ask -`.")
    with open_service() as service:
        make_answerer(service)
        for each in questions:
            finished = ask_with(service, _request([_user(each)], collections, mode, top_k))
            if as_json:
                _print_json(finished)
                continue
            if question == "-":
                typer.secho(f"> {each}", bold=True)
            print_answer(finished.answer)


def chat(*, collections: Collections = None, mode: Mode = "always", top_k: TopK = 8) -> None:
    """Ask one question after the other; follow-ups know what was said. An empty line or Ctrl-D ends."""
    from rag_service.answering.conversation import assistant

    messages: list[Message] = []
    with open_service() as service:
        make_answerer(service)
        for question in _questions():
            messages.append(_user(question))
            answer = ask_with(service, _request(messages, collections, mode, top_k)).answer
            print_answer(answer)
            messages.append(assistant(answer.text))


def print_answer(answer: "Answer") -> None:
    """Print an answer, what was calculated, and each source with the sentence that it gives."""
    typer.echo(answer.text)
    if answer.refusal:
        typer.secho(f"(refused: {answer.refusal})", dim=True)
    for call in answer.tool_calls:
        told = terminal.on_one_line(f"{call.input} -> {_first_line(call.output)}")
        typer.secho(f"    {call.tool}: {told}", dim=True)
    for citation in answer.citations:
        page = f", page {citation.page}" if citation.page else ""
        title = terminal.on_one_line(citation.passage.document_title)
        typer.secho(f"[{citation.id}] {title}{page}", fg="cyan")
        typer.echo(f"    “{' '.join(terminal.on_one_line(citation.quote).split())}”")
    typer.echo()


def make_answerer(service: "Service") -> None:
    """Make the parts in order; each may take seconds."""
    with _waiting("Loading the models …"):
        for part in (service.embedder, service.retriever, service.chat_model, service.answerer):
            part.make()


def ask_with(service: "Service", request: "AnswerRequest") -> "Finished":
    """Answer as the service does over HTTP, with a trace where traces are kept."""
    from rag_service.api.answering import Finished, answer_events

    with _waiting("Answering …"):
        *_, last = answer_events(service, request, lambda: False)
    if not isinstance(last, Finished):
        raise TypeError("an answer ends with the whole of it")
    return last


def _request(
    messages: Sequence["Message"],
    collections: Sequence[str] | None,
    mode: Literal["always", "auto", "never"],
    top_k: int,
) -> "AnswerRequest":
    from corpus.collections import DEFAULT_COLLECTION
    from rag_service.answering.answer import AnswerRequest

    names = tuple(collections or [DEFAULT_COLLECTION])
    return AnswerRequest(tuple(messages), collections=names, mode=mode, top_k=top_k)


def _questions() -> Iterator[str]:
    """Yield what is typed, or the lines of a pipe."""
    while True:
        try:
            question = input("> " if sys.stdin.isatty() else "").strip()
        except EOFError:
            return
        if not question or question in LEAVE:
            return
        yield question


def _user(question: str) -> "Message":
    from rag_service.answering.conversation import user

    return user(question)


def _print_json(finished: "Finished") -> None:
    from rag_service.api.answering import answer_out

    terminal.print_json(answer_out(finished).model_dump(mode="json"))


def _first_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first} …" if rest else first


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """Show that something is going on, where a person looks."""
    if not (terminal.is_terminal() and sys.stderr.isatty()):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield
