"""An OpenAI-compatible chat server over HTTP: attempts, pauses, time limits, and what its faults mean."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from pydantic import SecretStr

from corpus.addresses import checked_address
from corpus.errors import CorpusError, ModelError, ModelNotFound, NotReady, PromptTooLong, SettingsError
from rag_service.answering.blocking import read_here
from rag_service.answering.chat_completions import (
    ChatRequest,
    Piece,
    as_object,
    error_message,
    event_data,
    parsed_object,
    piece_of,
)
from rag_service.answering.chat_model import Cancelled

_LONGEST_ERROR = 1 << 16  # bytes
_LONGEST_RETRY_AFTER_S = 10.0
_TOO_LONG = ("context length", "context size", "context_length", "context window", "too long")

_log = logging.getLogger(__name__)


class RequestRefused(ModelError):
    """The server does not take a request of this form."""


class _Passing(Exception):
    """A fault that another attempt may not meet; `error` is for the caller if there is none."""

    def __init__(self, error: CorpusError, retry_after_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server and how often to try; seconds.

    `read_s` is the longest silence, before the first piece or between two: a long prompt takes time.
    The pause doubles with each attempt, and is a random part of that: callers must not return all
    at once to a server that has just come back.
    """

    connect_s: float = 5.0
    read_s: float = 120.0
    attempts: int = 4
    first_pause_s: float = 0.5

    def pauses(self) -> Iterator[float]:
        """Yield the pause before the second attempt, the third and so on."""
        for attempt in range(self.attempts - 1):
            yield self.first_pause_s * 2**attempt * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


class ChatServer:
    """A server by its address. May be used by several threads at once."""

    def __init__(self, base_url: str, api_key: SecretStr, patience: Patience | None = None) -> None:
        """Only look at the values; nothing is sent.

        Raises:
            SettingsError: the address or the key can not be one.
        """
        url = _checked_url(base_url)
        self._endpoint = url.copy_with(path=url.path.rstrip("/") + "/chat/completions")
        self.address = str(url.copy_with(query=None)).rstrip("/")
        self._headers = {"Accept": "text/event-stream"}
        self._key = _checked_key(api_key)
        if self._key:
            self._headers["Authorization"] = f"Bearer {self._key}"
        self._patience = patience or Patience()
        self._tls = httpx.create_ssl_context()  # once: reading the certificates takes a while

    def stream(self, request: ChatRequest, cancelled: Cancelled) -> Generator[Piece, None, None]:
        """Yield the answer piece by piece; closing the iterator, or `cancelled`, ends the connection.

        Raises:
            NotReady: the server is away, too busy or broke off.
            RequestRefused: it does not take this form of request.
            ModelError: it refuses the key, lacks the model, or is no chat server.
            PromptTooLong: it finds the messages longer than the model's context.
            GenerationCancelled: `cancelled` became true.
        """
        return read_here(self._persistently(request), cancelled)

    async def _persistently(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        """Try again after a passing fault, but never once something was said."""
        pauses = self._patience.pauses()
        said = False
        while True:
            try:
                async with aclosing(self._attempt(request)) as pieces:
                    async for piece in pieces:
                        said = said or piece.says_something
                        yield piece
            except _Passing as fault:
                pause = next(pauses, None)
                if said:
                    raise self._broke_off() from fault
                if pause is None:
                    raise fault.error from fault
                pause = max(pause, fault.retry_after_s)
                _log.warning("%s Another attempt follows in %.1f s.", fault, pause)
            else:
                return
            await asyncio.sleep(pause)

    async def _attempt(self, request: ChatRequest) -> AsyncGenerator[Piece, None]:
        patience = self._patience
        timeout = httpx.Timeout(patience.read_s, connect=patience.connect_s)
        try:
            async with (
                httpx.AsyncClient(verify=self._tls, timeout=timeout) as client,
                client.stream("POST", self._endpoint, json=request.body(), headers=self._headers) as response,
            ):
                await self._check(response, request.model)
                async with aclosing(self._pieces(response, request.model)) as pieces:
                    async for piece in pieces:
                        yield piece
        except httpx.ReadTimeout as error:  # it is there, but stuck; once more would only take as long
            raise NotReady(
                f"The chat server at {self.address} does not answer: "
                f"nothing came for {patience.read_s:g} s; look at its load and its log."
            ) from error
        except httpx.RequestError as error:
            raise _Passing(
                NotReady(
                    f"The chat server at {self.address} does not answer ({type(error).__name__}); "
                    "start it or correct RAG_CHAT_BASE_URL."
                )
            ) from error

    async def _pieces(self, response: httpx.Response, model: str) -> AsyncGenerator[Piece, None]:
        finished = False
        async with aclosing(event_data(response.aiter_bytes())) as events:
            async for data in events:
                if data == "[DONE]":
                    return
                piece = self._piece(data, model)
                finished = finished or piece.finish is not None
                yield piece
        if not finished:
            raise _Passing(self._broke_off())

    def _piece(self, data: str, model: str) -> Piece:
        fields = parsed_object(data)
        if not fields:
            raise self._no_chat_server()
        if "error" in fields:
            code = as_object(fields["error"]).get("code")
            raise self._fault(code if isinstance(code, int) else 500, error_message(fields), model)
        return piece_of(fields)

    async def _check(self, response: httpx.Response, model: str) -> None:
        if response.status_code != HTTPStatus.OK:
            message = error_message(parsed_object(await _beginning(response)))
            raise self._fault(response.status_code, message, model, _retry_after(response))
        if not response.headers.get("content-type", "").startswith("text/event-stream"):
            raise self._no_chat_server()

    def _fault(self, status: int, message: str, model: str, retry_after_s: float = 0.0) -> Exception:
        """The one table from a server's status to an error of ours."""
        if self._key:
            message = message.replace(self._key, "***")  # some servers repeat what they were sent
        said = f": {message}" if message else "."
        match status:
            case 401 | 403:  # without the message: it may hold a part of the key
                return ModelError(
                    f"The chat server at {self.address} refuses the key ({status}); set RAG_CHAT_API_KEY."
                )
            case 404:
                return ModelNotFound(
                    f"The chat server at {self.address} has no model {model!r}, or no chat completions; set "
                    "RAG_CHAT_MODEL to one of its models, and RAG_CHAT_BASE_URL to an address like …/v1."
                )
            case 400 | 413 | 422:
                return self._refusal(status, message, said)
            case _ if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                fault = "is too busy" if status == HTTPStatus.TOO_MANY_REQUESTS else "fails"
                error = NotReady(f"The chat server at {self.address} {fault} ({status}){said}")
                return _Passing(error, retry_after_s)
            case _:
                return ModelError(f"The chat server at {self.address} answers with status {status}{said}")

    def _refusal(self, status: int, message: str, said: str) -> ModelError:
        if any(words in message.lower() for words in _TOO_LONG):
            return PromptTooLong(
                f"The prompt is longer than the context of the chat server at {self.address}; ask something "
                "shorter, or set RAG_CHAT_CONTEXT_LENGTH to what it takes."
            )
        return RequestRefused(f"The chat server at {self.address} refuses the request ({status}){said}")

    def _broke_off(self) -> NotReady:
        return NotReady(f"The chat server at {self.address} broke off in its answer; ask again.")

    def _no_chat_server(self) -> ModelError:
        return ModelError(
            f"What answers at {self.address} sends no stream of chat completions; correct RAG_CHAT_BASE_URL."
        )


def _checked_url(base_url: str) -> httpx.URL:
    return checked_address(
        base_url,
        setting="RAG_CHAT_BASE_URL",
        example="http://host:8000/v1",
        rather="set RAG_CHAT_API_KEY",
    )


def _checked_key(api_key: SecretStr) -> str:
    """HTTP libraries put a header that they refuse into their error; so it is refused here."""
    key = api_key.get_secret_value().strip()
    if not (key.isascii() and all("!" <= character <= "~" for character in key)):
        raise SettingsError("RAG_CHAT_API_KEY has white space or letters that no key has; copy it again.")
    return key


async def _beginning(response: httpx.Response) -> bytes:
    """The body of an error, or as much of it as anyone would read."""
    body = b""
    async for new in response.aiter_bytes():
        body += new
        if len(body) > _LONGEST_ERROR:
            break
    return body


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return min(float(value), _LONGEST_RETRY_AFTER_S) if value.isdecimal() else 0.0
