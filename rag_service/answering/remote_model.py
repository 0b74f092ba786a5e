"""A chat model behind an OpenAI-compatible server, such as vLLM, llama.cpp or Ollama.

The markers are plain text there. A turn that a call interrupted goes on by sending it again, open,
with the results in it; see docs/decisions/0045-remote-models.md for servers that can not do that.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from pydantic import SecretStr

from corpus.errors import PromptTooLong
from rag_service.answering.chat_completions import Account, ChatMessage, ChatRequest, Piece
from rag_service.answering.chat_model import (
    Cancelled,
    End,
    EndReason,
    Fingerprint,
    GenerationCancelled,
    LikelySum,
    Sampling,
    Skill,
    Usage,
)
from rag_service.answering.chat_server import ChatServer, Patience, RequestRefused
from rag_service.answering.conversation import Message, Part
from rag_service.answering.defusing import defused
from rag_service.answering.markers import SYNONYMS, Call, Delta, Marker, Scanner, TurnReader
from rag_service.answering.template import marked_text

_CALL_ENDS = (Marker.SEARCH_END, Marker.CALC_END)
_MARKERS = {**{marker.value: marker for marker in Marker}, **SYNONYMS}
_FRAME_TOKENS = 8  # what a template puts around a message, at most
_GO_ON = "Go on from there."


class RemoteModel:
    """See `ChatModel`. The server has its own queue, so turns are not held back here."""

    skill: Skill = "instructed"
    reads = True
    fingerprint = Fingerprint("")

    def __init__(self, name: str, server: ChatServer, *, context_length: int) -> None:
        self.name = name
        self.context_length = context_length
        self.server = server
        self.continues_turns = True  # until the server refuses it

    def count_tokens(self, text: str) -> int:
        """See `ChatModel`."""
        return tokens_at_most(text)

    @contextmanager
    def begin(
        self, messages: Sequence[Message], *, cancelled: Cancelled = lambda: False
    ) -> Iterator["RemoteTurn"]:
        """Open a turn; see `ChatModel`. Nothing is sent before `generate`."""
        yield RemoteTurn(self, messages, cancelled)


@dataclass(frozen=True, slots=True)
class _Said:
    """A stretch of the open turn, by the model or put there by the service."""

    by_model: bool
    text: str


class RemoteTurn:
    """See `Turn`. `usage` adds up the requests, each of which the server reads from its beginning."""

    def __init__(self, model: RemoteModel, messages: Sequence[Message], cancelled: Cancelled) -> None:
        self._model = model
        self._messages = tuple(_chat_message(message) for message in messages)
        self._cancelled = cancelled
        self._said: list[_Said] = []
        self._next_number = 1
        self.usage = Usage()
        self._check_length()

    @property
    def transcript(self) -> str:
        """See `Turn`; roles as words, since the server's own frame is not known."""
        return "\n\n".join(f"{message.role}:\n{message.content}" for message in self._open_turn())

    def append(self, *parts: Part) -> None:
        """See `Turn`."""
        for part in parts:
            self._note(_part_text(part, self._next_number), by_model=part.written_by_model)
            self._next_number += len(part.passages)
        self._check_length()

    def likeliest_sums(self, numbers: frozenset[str], *, most_steps: int) -> Iterator[LikelySum]:  # noqa: ARG002 - as the seam has it
        """Yield nothing: a server does not tell how likely what is."""
        return iter(())

    def generate(self, sampling: Sampling) -> Iterator[Delta | Call | End]:
        """Go on; see `Turn`."""
        reader = _Reader(sampling.stop)
        account = Account()
        last = Piece()
        try:
            with closing(self._pieces(sampling, account)) as pieces:
                for piece in pieces:
                    account.take(piece)
                    last = piece if piece.finish else last
                    for item in reader.feed(piece):
                        yield item
                        if isinstance(item, Call) and item.closed:
                            return
                    if reader.stopped:
                        break
            for item in reader.finish(at_stop=last.finish == "stop"):
                yield item
                if isinstance(item, Call) and item.closed:
                    return
            yield End(_end_reason(reader, last, sampling))
        except GenerationCancelled:
            yield End("cancelled")
        finally:
            self._note(reader.written, by_model=True)
            self.usage = account.added_to(self.usage)

    def _pieces(self, sampling: Sampling, account: Account) -> Generator[Piece, None, None]:
        """Ask with the turn left open; if the server refuses that, with the results as a user's message."""
        server = self._model.server
        if not self._said:
            yield from server.stream(account.asked(self._request(self._messages, sampling)), self._cancelled)
            return
        if self._model.continues_turns:
            request = replace(self._request(self._open_turn(), sampling), continued=True)
            try:
                yield from server.stream(account.asked(request), self._cancelled)
            except RequestRefused:
                if account.began:
                    raise
                self._model.continues_turns = False
            else:
                return
        yield from server.stream(account.asked(self._request(self._closed_turn(), sampling)), self._cancelled)

    def _request(self, messages: tuple[ChatMessage, ...], sampling: Sampling) -> ChatRequest:
        room = self._model.context_length - _length(messages)
        return ChatRequest(
            model=self._model.name,
            messages=messages,
            max_tokens=max(1, min(sampling.max_tokens, room)),
            temperature=sampling.temperature,
            seed=sampling.seed,
            stop=(*_CALL_ENDS, *sampling.stop),
        )

    def _open_turn(self) -> tuple[ChatMessage, ...]:
        """The conversation with all of the turn as one message of the assistant."""
        if not self._said:
            return self._messages
        return (*self._messages, ChatMessage("assistant", "".join(said.text for said in self._said)))

    def _closed_turn(self) -> tuple[ChatMessage, ...]:
        """The conversation with what the service put into the turn as messages of the user."""
        messages = list(self._messages)
        turn = [ChatMessage("assistant" if said.by_model else "user", said.text) for said in self._said]
        if self._said[-1].by_model:
            turn.append(ChatMessage("user", _GO_ON))
        for message in turn:
            same = messages and messages[-1].role == message.role  # some templates insist on alternation
            before = f"{messages.pop().content}\n\n" if same else ""
            messages.append(replace(message, content=before + message.content))
        return tuple(messages)

    def _note(self, text: str, *, by_model: bool) -> None:
        if self._said and self._said[-1].by_model == by_model:
            text = self._said.pop().text + text
        if text:
            self._said.append(_Said(by_model, text))

    def _check_length(self) -> None:
        length = _length(self._open_turn())
        if length >= self._model.context_length:
            raise PromptTooLong(
                f"The prompt has up to {length} tokens; the model takes fewer than "
                f"{self._model.context_length}. Ask something shorter, use fewer passages, or set "
                "RAG_CHAT_CONTEXT_LENGTH to what the chat server takes."
            )


class _Reader:
    """Sorts text into deltas and calls, and keeps what was written up to a call or a stop string."""

    def __init__(self, stop: tuple[str, ...]) -> None:
        self._stop = stop
        self._scanner = Scanner([*stop, *_MARKERS])
        self._reader = TurnReader()
        self.written = ""
        self.stopped = False

    def feed(self, piece: Piece) -> Iterator[Delta | Call]:
        """Take in a piece. Reasoning of its own kind is shown, but is no part of the turn."""
        if piece.reasoning:
            yield Delta("reasoning", piece.reasoning)
        for found, special in self._scanner.feed(piece.text):
            if special and found in self._stop:
                self.stopped = True
                return
            self.written += found
            yield from self._reader.marker(_MARKERS[found]) if special else self._reader.text(found)

    def finish(self, *, at_stop: bool) -> Iterator[Delta | Call]:
        """No more comes; servers leave out the end marker at which they stopped."""
        if not self.stopped:
            held = self._scanner.flush()
            self.written += held
            yield from self._reader.text(held)
        for marker in _CALL_ENDS if at_stop else ():
            for call in self._reader.marker(marker):
                self.written += marker
                yield call
        yield from self._reader.finish()


def connect(
    *, base_url: str, api_key: SecretStr, model: str, context_length: int, silence_s: float
) -> RemoteModel:
    """Return the model named `model` of a server, without asking the server for anything yet.

    `silence_s` is the longest time in which the server may send nothing.

    Raises:
        SettingsError: the address or the key can not be one.
    """
    server = ChatServer(base_url, api_key, Patience(read_s=silence_s))
    return RemoteModel(model, server, context_length=context_length)


def tokens_at_most(text: str) -> int:
    """Return an estimate from above: one token for three bytes; English takes one for about four."""
    return -(-len(text.encode(errors="replace")) // 3)


def _chat_message(message: Message) -> ChatMessage:
    """The system message is the service's own and names markers; all other text is defused."""
    if message.role == "system":
        return ChatMessage("system", message.text)
    if message.role == "user":
        return ChatMessage("user", defused(message.text))
    texts, number = [], 1
    for part in message.parts:
        texts.append(_part_text(part, number))
        number += len(part.passages)
    return ChatMessage("assistant", "".join(texts))


def _part_text(part: Part, first_number: int) -> str:
    before, text, after = marked_text(part, first_number)
    return f"{before or ''}{defused(text)}{after or ''}"


def _length(messages: Sequence[ChatMessage]) -> int:
    return sum(tokens_at_most(message.content) + _FRAME_TOKENS for message in messages)


def _end_reason(reader: _Reader, last: Piece, sampling: Sampling) -> EndReason:
    if reader.stopped or last.stopped_by in sampling.stop:
        return "stop"
    return "length" if last.finish == "length" else "end"
