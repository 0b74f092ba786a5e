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
