"""An embedder behind an OpenAI-compatible server: vLLM, text-embeddings-inference, Ollama, this service.

Its address names the model behind a ``#``: ``http://host:8080/v1#bge-m3``. Without that it is the only one
that the server lists. See docs/decisions/0094-embedders-behind-a-server.md.
"""

import hashlib
import logging
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from corpus.addresses import checked_address
from corpus.errors import CorpusError, ModelError, NotReady, SettingsError
from corpus.text import encodable
from corpus.text_encoding import plain_copy

MAX_TOKENS = 256  # of the counting tokenizer, special tokens included: what all embedders take
_SPECIAL_TOKENS = 2
_BATCH = 32
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_PAUSES_S = (0.5, 1.0, 2.0, 4.0)
_PASSING = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}
_LONGEST_REASON = 200

_log = logging.getLogger(__name__)


class RemoteEmbedder:
    """See `Embedder`. What the server's own tokenizer counts is not known, so another one's pieces count.

    `id` has a hash of the model's name and its dimension in the place of one of the weights: that the name
    stays with the weights is the server's affair.
    """

    max_tokens = MAX_TOKENS

    def __init__(self, address: str, tokenizer: Tokenizer, *, pauses_s: Sequence[float] = _PAUSES_S) -> None:
        """Ask the server for its model and for one vector.

        Raises:
            SettingsError: the address can not be one.
            NotReady: the server is away or too busy.
            ModelError: it has no such model, or is no such server.
        """
        url = _checked_url(address)
        self._pauses_s = pauses_s
        self._tokenizer = plain_copy(tokenizer)
        base = url.path.rstrip("/")
        self._endpoint = url.copy_with(path=f"{base}/embeddings", fragment=None)
        self.address = str(url.copy_with(fragment=None, query=None)).rstrip("/")
        self._client = httpx.Client(timeout=_TIMEOUT)
        self._model = url.fragment or self._only_model(url.copy_with(path=f"{base}/models", fragment=None))
        self.dimension = len(self._ask(["dimension"])[0])
        self.name = self._model.rpartition("/")[2] or self._model
        said = hashlib.sha256(f"{self._model}\n{self.dimension}".encode()).hexdigest()
        self.id = f"{self.name}@{said[:12]}"

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a query, shape (len(texts), dimension)."""
        return self.embed_passages(texts)

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one unit vector a passage, shape (len(texts), dimension), in the given order.

        Raises:
            NotReady: the server is away or too busy.
            ModelError: it refuses, or sends no vectors of this dimension.
        """
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = [self._shortened(text) for text in texts[start : start + _BATCH]]
            found = self._ask(batch)
            if any(len(vector) != self.dimension for vector in found):
                raise self._no_vectors()
            vectors[start : start + len(batch)] = found
        return self._as_units(vectors)

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return the characters (start, end) of each word piece of the whole text, none cut off."""
        spans: list[tuple[int, int]] = self._tokenizer.encode(
            encodable(text), add_special_tokens=False
        ).offsets
        return spans

    def _shortened(self, text: str) -> str:
        """Cut what is too long here: servers refuse it, or cut it somewhere. They refuse empty texts, too."""
        spans = self.token_spans(text)
        most = MAX_TOKENS - _SPECIAL_TOKENS
        return encodable(text if len(spans) <= most else text[: spans[most - 1][1]]) or " "

    def _as_units(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all() or (lengths == 0).any():
            raise self._no_vectors()
        units: NDArray[np.float32] = vectors / lengths
        return units

    def _only_model(self, url: httpx.URL) -> str:
        body = self._persistently("GET", url)
        rows = body.get("data") if isinstance(body, dict) else None
        names = [str(row.get("id")) for row in rows or [] if isinstance(row, dict) and row.get("id")]
        if len(names) != 1:
            raise SettingsError(
                f"The server at {self.address} lists {len(names)} models ({', '.join(names[:9])}); name one "
                f"in RAG_EMBEDDER behind a #: {self.address}#NAME."
            )
        return names[0]

    def _ask(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the vectors as they come, in the order of the texts."""
        body = self._persistently("POST", self._endpoint, {"model": self._model, "input": list(texts)})
        try:
            rows = sorted(body["data"], key=lambda row: row["index"])
            found = [[float(number) for number in row["embedding"]] for row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise self._no_vectors() from error
        if len(found) != len(texts) or not all(found):
            raise self._no_vectors()
        return found

    def _persistently(self, method: str, url: httpx.URL, body: object = None) -> Any:  # noqa: ANN401 - JSON
        """Ask again after a fault that passes."""
        pauses = iter(self._pauses_s)
        while True:
            try:
                return self._once(method, url, body)
            except NotReady as error:
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise
                _log.warning("%s Another attempt follows in %.1f s.", error, pause_s)
                time.sleep(pause_s)

    def _once(self, method: str, url: httpx.URL, body: object) -> Any:  # noqa: ANN401 - JSON
        try:
            response = self._client.request(method, url, json=body)
        except httpx.HTTPError as error:
            reason = f"does not answer ({type(error).__name__})"
            raise NotReady(f"The embedding server at {self.address} {reason}; try again later.") from error
        if response.status_code != HTTPStatus.OK:
            raise self._refused(response)
        try:
            return response.json()
        except ValueError as error:
            raise self._no_vectors() from error

    def _refused(self, response: httpx.Response) -> CorpusError:
        status = response.status_code
        if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return NotReady(
                f"The embedding server at {self.address} is busy or broken ({status}); try later."
            )
        reason = " ".join(response.text.split())[:_LONGEST_REASON]
        return ModelError(
            f"The embedding server at {self.address} refuses ({status}: {reason}); correct RAG_EMBEDDER."
        )

    def _no_vectors(self) -> ModelError:
        return ModelError(
            f"What answers at {self.address} sends no embeddings in OpenAI's form; correct RAG_EMBEDDER."
        )


def _checked_url(address: str) -> httpx.URL:
    return checked_address(
        address,
        setting="RAG_EMBEDDER",
        example="http://host:8080/v1#model",
        rather="keep the server where it needs none",
    )
