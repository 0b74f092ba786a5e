"""`rag search`: ranked passages, without an answer."""

import shutil
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag_service.cli import terminal
from rag_service.cli.options import AsJson, Collections
from rag_service.cli.workplace import open_service

if TYPE_CHECKING:
    from rag_service.retrieval.passages import Passage

Mode = Annotated[
    Literal["hybrid", "dense", "lexical"], typer.Option("--search", help="By meaning, by words, or both.")
]
TopK = Annotated[int, typer.Option("--top-k", "-k", min=1, max=100, help="At most how many passages.")]


def search(
    query: Annotated[str, typer.Argument(help="A question or key words.")],
    *,
    collections: Collections = None,
    top_k: TopK = 8,
    mode: Mode = "hybrid",
    as_json: AsJson = False,
) -> None:
    """Show the passages that fit a query best."""
    from corpus.collections import DEFAULT_COLLECTION
    from rag_service.api.search import search_out
    from rag_service.retrieval.search import SearchRequest

    request = SearchRequest(query, tuple(collections or [DEFAULT_COLLECTION]), top_k=top_k, mode=mode)
    with open_service() as service:
        service.embedder.make()
        result = service.retriever.make().search(request)
    if as_json:
        terminal.print_json(search_out(result).model_dump(mode="json"))
        return
    for rank, passage in enumerate(result.passages, start=1):
        _print_passage(rank, passage)
    if not result.passages:
        terminal.warn("Nothing found.")


def _print_passage(rank: int, passage: "Passage") -> None:
    width = shutil.get_terminal_size((100, 24)).columns - 4
    text = " ".join(terminal.on_one_line(passage.text).split())
    typer.echo(f"{rank:>2}. {source(passage)}  [{passage.scores.fused:.3f}]")
    typer.echo(f"    {text if len(text) <= width or not terminal.is_terminal() else text[: width - 1] + '…'}")


def source(passage: "Passage") -> str:
    """Name a passage's document, page and place in the outline."""
    parts = [passage.document_title]
    parts += [f"page {passage.page}"] if passage.page else []
    path = (
        passage.heading_path[1:]
        if passage.heading_path[:1] == (passage.document_title,)
        else passage.heading_path
    )
    parts += [" > ".join(path)] if path else []
    return terminal.on_one_line(", ".join(parts))
