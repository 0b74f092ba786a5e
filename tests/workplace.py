"""A folder with documents, and `rag` in it, with stand-ins for the models."""

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from rag_service import app, cli
from tests.rag_with_fakes import fake_models

ROOT = Path(__file__).resolve().parents[1]
RAG = [sys.executable, "-m", "tests.rag_with_fakes"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str


class Workplace:
    """Runs `rag` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "rag-data"
        self.documents = folder / "documents"
        self.documents.mkdir()

    def write(self, name: str, text: str | bytes) -> Path:
        """Write one document."""
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `rag` as a program of its own and do not wait."""
        return subprocess.Popen(
            [*RAG, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rag(self, *words: str) -> Ended:
        """Run `rag` to its end in this process, which spares the seconds of importing everything."""
        out, err = io.StringIO(), io.StringIO()
        code: object = 0
        with (
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            patch.object(app, "models_of", fake_models),
        ):
            try:
                cli.main(words)
            except SystemExit as ended:
                code = ended.code
        return Ended(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())

    def lines(self, *words: str) -> list[dict[str, object]]:
        """Run `rag … --json` and return its lines."""
        ended = self.rag(*words, "--json")
        assert ended.code == 0, ended.err
        return [json.loads(line) for line in ended.out.splitlines()]

    def listed(self) -> dict[str, dict[str, object]]:
        """Return all documents by their external ids."""
        return {str(each["external_id"]): each for each in self.lines("documents", "list")}
