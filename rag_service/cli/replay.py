"""`rag replay`: an answer made once more, and what is different now."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from rag_service.cli import terminal
from rag_service.cli.ask import ask_with, make_answerer
from rag_service.cli.options import AsJson
from rag_service.cli.workplace import open_service

if TYPE_CHECKING:
    from rag_service.service import Service
    from rag_service.traces import TraceView


def replay(
    trace_id: Annotated[str, typer.Argument(metavar="TRACE", help="A trace's id: `trace_id` of an answer.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Ask a kept question again, with its seed and with today's documents and model; show what changed."""
    from rag_service.traces import changed_fields

    with open_service() as service:
        trace = service.traces.find(trace_id)
        make_answerer(service)
        before, after = trace.record["result"], _again(service, trace)
    changed = changed_fields(before, after)
    if as_json:
        terminal.print_json({"trace_id": trace.id, "changed": changed, "before": before, "after": after})
        return
    typer.echo(trace.question)
    typer.echo(after["answer"])
    if not changed:
        typer.secho("Nothing changed.", dim=True)
    for field in changed:
        typer.secho(f"\n{field}", bold=True)
        for line in differing_lines(before[field], after.get(field)):
            typer.secho(line, fg={"-": "red", "+": "green"}.get(line[0]))


def _again(service: "Service", trace: "TraceView") -> Mapping[str, object]:
    from rag_service.traces import request_of, result_record

    finished = ask_with(service, request_of(trace))
    return result_record(
        finished.answer,
        fingerprint=service.chat_model.get().fingerprint,
        embedder=service.embedder.get().id,
    )


def differing_lines(before: object, after: object) -> Iterator[str]:
    """Yield the lines that only one of two values has, with ``-`` and ``+`` before them."""
    for line in difflib.ndiff(_lines(before), _lines(after)):
        if line[0] in "-+":
            yield line.rstrip("\n")


def _lines(value: object) -> list[str]:
    """A text by lines, a list by items, anything else as one line."""
    if isinstance(value, str):
        return value.splitlines()
    items = value if isinstance(value, list) else [value]
    return [json.dumps(item, ensure_ascii=False) for item in items]
