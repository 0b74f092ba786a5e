"""Arguments that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

InFiles = Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="Files of records.")]
OutFile = Annotated[Path, typer.Option("--out", help="Where to write the records, JSON lines.")]
Source = Annotated[str, typer.Option(help="Name of the source, for formats that do not imply it.")]
License = Annotated[str, typer.Option("--license", help="Its licence; both travel into the model card.")]
