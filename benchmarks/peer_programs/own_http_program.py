"""This service over HTTP: `rag serve` with its worker, asked by clients that keep their connections."""

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measuring import DEPTH, Program, measure

PORT = 8931
HOST = "127.0.0.1"
LOOK_EVERY_S = 0.2
START_S = 300


class OwnOverHttp(Program):
    """A service with all it has, the answering models too."""

    modes = ("dense", "hybrid")

    def __init__(self, model: str, folder: Path) -> None:
        self._local = threading.local()
        rag = Path(sys.executable).parent / "rag"
        settings = {"RAG_DATA_DIR": str(folder / "data"), "RAG_EMBEDDER": model}
        with (folder / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [rag, "serve", "--port", str(PORT)],
                cwd=folder,
                env=os.environ | settings,
                stdout=log,
                stderr=log,
            )
        ends = time.monotonic() + START_S
        while not self._is_ready():
            if time.monotonic() > ends or self._process.poll() is not None:
                self.close()
                raise RuntimeError(f"The service did not start; see {folder / 'log'}.")
            time.sleep(LOOK_EVERY_S)

    def ingest(self, ids: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
        """Upload all as one file of JSON lines, wait for the job, and search once."""
        lines = "\n".join(
            json.dumps({"external_id": key, "title": text["title"], "text": text["text"]})
            for key, text in zip(ids, texts, strict=True)
        )
        head = '--end\r\nContent-Disposition: form-data; name="files"; filename="texts.jsonl"\r\n\r\n'
        body = f"{head}{lines}\r\n--end--\r\n".encode()
        job = self._ask("POST", "/v1/ingestion_jobs", body, "multipart/form-data; boundary=end")
        while job["status"] not in {"completed", "failed", "cancelled"}:
            time.sleep(LOOK_EVERY_S)
            job = self._ask("GET", f"/v1/ingestion_jobs/{job['id']}")
        if job["status"] != "completed" or job["counts"]["failed"]:
            raise RuntimeError(f"Not all was read: {job}")
        self.search("hybrid", "to bring the indexes up")

    def search(self, mode: str, query: str) -> list[str]:
        """Return the best documents: those of twice as many passages, for some have two."""
        body = json.dumps({"query": query, "search": mode, "top_k": 2 * DEPTH}).encode()
        found = self._ask("POST", "/v1/search", body)
        return list(dict.fromkeys(each["external_id"] for each in found["data"]))[:DEPTH]

    def close(self) -> None:
        """End the service."""
        self._process.terminate()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            self._ask("GET", "/readyz")
        except (OSError, RuntimeError, http.client.HTTPException):
            return False
        return True

    def _ask(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        """Send a request over this thread's connection."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(HOST, PORT, timeout=START_S)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body else {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._local.connection = None
            raise
        if answer.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{path}: {answer.status} {content[:500]!r}")
        found: dict[str, Any] = json.loads(content)
        return found


if __name__ == "__main__":
    measure(OwnOverHttp, ["rag-service", "faiss-cpu", "torch", "uvicorn"])
