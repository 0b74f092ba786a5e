"""ChatModel: the seam between a model in this process and one behind a server."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from corpus.errors import CorpusError
from rag_service.answering.conversation import Message, Part
from rag_service.answering.markers import Call, Delta

# How a model came to know the markers: its training, this request's system message, or not at all.
Skill = Literal["trained", "instructed", "none"]
EndReason = Literal["end", "length", "stop", "loop", "cancelled"]
Cancelled = Callable[[], bool]


class GenerationCancelled(CorpusError):
    """Whoever asked is gone; nobody waits for this error."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to write: at temperature 0 always the likeliest token; `seed` makes other draws repeatable.

    With `reasoning` a model whose markers are tokens begins with its steps. With `refusing` false such
    a model can not write the one for a refusal: something else has decided already that there is an answer.
    `calculator` says whether it may call that, begins with it, or can not.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning: bool = False
    refusing: bool = True
    calculator: Literal["may", "must", "not"] = "may"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The exact weights: sha256 in hex; empty where a server keeps them."""

    base_sha256: str
    adapter_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written in a turn, and the milliseconds that took.

    `cached_tokens` of the `prompt_tokens` were known from before. `estimated`: a server did not count
    them all, so that some are a quarter of the characters.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    prefill_ms: float = 0.0
    decode_ms: float = 0.0
    estimated: bool = False

    def plus(self, other: "Usage") -> "Usage":
        """Return both together."""
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            prefill_ms=self.prefill_ms + other.prefill_ms,
            decode_ms=self.decode_ms + other.decode_ms,
            estimated=self.estimated or other.estimated,
        )


@dataclass(frozen=True, slots=True)
class End:
    """Why the model stopped; `loop`: it said the same again and again."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class LikelySum:
    """A sum, and the logarithm of how likely the model writes it."""

    text: str
    log_probability: float


class Turn(Protocol):
    """An assistant's turn under way: the live context, which only ever grows."""

    @property
    def usage(self) -> Usage:
        """What the turn took so far."""

    @property
    def transcript(self) -> str:
        """The whole context as text, for traces."""

    def append(self, *parts: Part) -> None:
        """Put parts into the turn, as if the model had written them."""

    def generate(self, sampling: Sampling) -> Iterator[Delta | Call | End]:
        """Let the model go on; ends with an `End`, or with a closed `Call` whose result is to be appended.

        Raises:
            PromptTooLong: the context is longer than the model takes.
            NotReady: the model's server is away.
        """

    def likeliest_sums(self, numbers: frozenset[str], *, most_steps: int) -> Iterator[LikelySum]:
        """Yield the sums of `numbers` that the model would compute next, the likeliest first.

        None where that can not be told. The turn is afterwards where it was.

        Raises:
            GenerationCancelled: whoever asked is gone.
        """


class ChatModel(Protocol):
    """A model that takes turns in conversations. May be called by several threads at once."""

    @property
    def name(self) -> str:
        """Short name, as in answers."""

    @property
    def context_length(self) -> int:
        """The most tokens of prompt and answer together."""

    @property
    def fingerprint(self) -> Fingerprint:
        """The exact weights."""

    @property
    def skill(self) -> Skill:
        """Whether it can call tools and mark refusals."""

    @property
    def reads(self) -> bool:
        """Whether what it says of passages may stand for itself; else their own sentence is the answer."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text takes; an estimate from above if a server has the tokenizer."""

    def begin(
        self, messages: Sequence[Message], *, cancelled: Cancelled = lambda: False
    ) -> AbstractContextManager[Turn]:
        """Open the assistant's turn after `messages`; waits for its turn at the model, in order of arrival.

        Raises:
            GenerationCancelled: `cancelled` became true while waiting.
            PromptTooLong: the messages are longer than the context.
        """
