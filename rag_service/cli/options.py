"""Arguments and options that several commands share, each described once."""

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]
Collection = Annotated[str, typer.Option("--collection", "-c", help="Name or id of the collection.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most how many rows.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Collections = Annotated[
    list[str] | None,
    typer.Option(
        "--collection", "-c", help="Name or id of a collection; may be repeated.", show_default="default"
    ),
]
MaxTokens = Annotated[
    int | None,
    typer.Option(help="Longest chunk in the embedder's tokens.", show_default="the embedder's limit"),
]
Overlap = Annotated[
    int | None, typer.Option(help="Tokens that neighbouring chunks share.", show_default="32, or an eighth")
]
