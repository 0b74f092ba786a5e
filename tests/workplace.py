"""A folder with documents, and `rag` in it as a program of its own, with stand-ins for the models."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RAG = [sys.executable, "-m", "tests.rag_with_fakes"]


class Workplace:
    """Runs `rag` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data_dir = folder / "rag-data"
        self.documents = folder / "documents"
        self.documents.mkdir()
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def write(self, name: str, text: str | bytes) -> Path:
        """Write one document."""
        path = self.documents / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `rag` and do not wait."""
        return subprocess.Popen(
            [*RAG, *words],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rag(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `rag` to its end."""
        process = self.start(*words)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def lines(self, *words: str) -> list[dict[str, object]]:
        """Run `rag … --json` and return its lines."""
        ended = self.rag(*words, "--json")
        assert ended.returncode == 0, ended.stderr
        return [json.loads(line) for line in ended.stdout.splitlines()]

    def listed(self) -> dict[str, dict[str, object]]:
        """Return all documents by their external ids."""
        return {str(each["external_id"]): each for each in self.lines("documents", "list")}
