"""The wire format of OpenAI-compatible chat completions: what is asked, and a stream of pieces.

`POST {base}/chat/completions` with `stream`, answered by server-sent events (the event stream format
of the HTML standard, section 9.2). Servers differ: what one leaves out counts as not said.
"""

import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Literal

from corpus.errors import ModelError
from rag_service.answering.chat_model import Usage

_MOST_STOPS = 4  # OpenAI's own limit; the others take as many
_LONGEST_EVENT = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message as servers take it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What a server is asked; `continued`: go on with the last message, which is the assistant's."""

    model: str
    messages: tuple[ChatMessage, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    continued: bool = False

    def body(self) -> dict[str, object]:
        """Return the JSON object; the last two fields are vLLM's and llama.cpp's."""
        body: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": item.role, "content": item.content} for item in self.messages],
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self.seed is not None:
            body["seed"] = self.seed
        if self.stop:
            body["stop"] = list(self.stop[:_MOST_STOPS])
        if self.continued:
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        return body


@dataclass(frozen=True, slots=True)
class ServerUsage:
    """Tokens of one request, as the server counted them."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event says; `stopped_by` is the stop string that was met, from servers that tell it."""

    text: str = ""
    reasoning: str = ""
    finish: str | None = None
    stopped_by: str | None = None
    usage: ServerUsage | None = None

    @property
    def says_something(self) -> bool:
        """Whether a reader has got something by it, so that no new attempt can be made."""
        return bool(self.text or self.reasoning)


class Account:
    """What one request takes: the server's count, or an estimate."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first: float | None = None
        self._read = self._written = 0  # characters
        self._counted: ServerUsage | None = None

    def asked(self, request: ChatRequest) -> ChatRequest:
        """Note and return what is asked."""
        self._read = sum(len(message.content) for message in request.messages)
        return request

    @property
    def began(self) -> bool:
        """Whether the model has said something."""
        return self._first is not None

    def take(self, piece: Piece) -> None:
        """Note a piece."""
        if not self.began and piece.says_something:
            self._first = time.perf_counter()
        self._written += len(piece.text) + len(piece.reasoning)
        self._counted = piece.usage or self._counted

    def added_to(self, usage: Usage) -> Usage:
        """Return the usage with this request in it."""
        ended = time.perf_counter()
        first = self._first or ended
        estimate = ServerUsage(-(-self._read // 4), -(-self._written // 4), 0)
        counted = self._counted or estimate
        return Usage(
            prompt_tokens=usage.prompt_tokens + counted.prompt_tokens,
            completion_tokens=usage.completion_tokens + counted.completion_tokens,
            cached_tokens=usage.cached_tokens + counted.cached_tokens,
            prefill_ms=usage.prefill_ms + (first - self._began) * 1000,
            decode_ms=usage.decode_ms + (ended - first) * 1000,
            estimated=usage.estimated or self._counted is None,
        )


async def event_data(received: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """Yield the data of each whole event of a stream.

    Lines are found in the bytes, by LF or CRLF: text in JSON may contain U+2028 and others at which
    `str.splitlines`, and so httpx's `aiter_lines`, would cut it.
    """
    held = b""
    data: list[str] = []
    async for new in received:
        *lines, held = (held + new).split(b"\n")
        if len(held) > _LONGEST_EVENT:
            raise ModelError("The chat server sends an event without end; look at what it is.")
        for line in lines:
            name, _, value = line.removesuffix(b"\r").partition(b":")
            if name == b"data":
                data.append(value.removeprefix(b" ").decode(errors="replace"))
            elif not name and not value and data:
                yield "\n".join(data)
                data = []


def piece_of(fields: Mapping[str, object]) -> Piece:
    """Read one chunk of a chat completion; what is missing or of another type counts as not said."""
    choices = fields.get("choices")
    choice = as_object(choices[0]) if isinstance(choices, list) and choices else {}
    delta = as_object(choice.get("delta"))
    return Piece(
        text=_text(delta.get("content")),
        # vLLM and llama.cpp have the first name, Ollama the second
        reasoning=_text(delta.get("reasoning_content")) or _text(delta.get("reasoning")),
        finish=_text(choice.get("finish_reason")) or None,
        stopped_by=_text(choice.get("stop_reason")) or None,
        usage=_usage(as_object(fields.get("usage"))),
    )


def _usage(fields: Mapping[str, object]) -> ServerUsage | None:
    if not (
        isinstance(fields.get("prompt_tokens"), int) and isinstance(fields.get("completion_tokens"), int)
    ):
        return None
    details = as_object(fields.get("prompt_tokens_details"))
    return ServerUsage(
        _count(fields.get("prompt_tokens")),
        _count(fields.get("completion_tokens")),
        _count(details.get("cached_tokens")),
    )


def error_message(fields: Mapping[str, object]) -> str:
    """Return the server's own words, from OpenAI's error object or FastAPI's; one line, not long."""
    error = fields.get("error")
    for value in (as_object(error).get("message"), error, fields.get("message"), fields.get("detail")):
        if isinstance(value, str) and value.strip():
            return value.strip().splitlines()[0][:200]
    return ""


def parsed_object(text: str | bytes) -> Mapping[str, object]:
    """Return a JSON object; an empty one if it is none."""
    try:
        return as_object(json.loads(text))
    except ValueError:
        return {}


def as_object(value: object) -> Mapping[str, object]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return max(value, 0) if isinstance(value, int) else 0
