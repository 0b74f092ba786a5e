"""Stand-ins for the two slow parts, the embedder and the chat model; everything else is real in tests."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from rag_service.answering.chat_model import Cancelled, End, Fingerprint, LikelySum, Sampling, Skill, Usage
from rag_service.answering.conversation import Message, Part
from rag_service.answering.markers import Call, Delta

_WORD = re.compile(r"\w+|[^\w\s]")


class FakeEmbedder:
    """Embeds a text as the normalised sum of one fixed random vector a word.

    Texts that share words are near each other, so that retrieval means something in tests.
    """

    def __init__(self, dimension: int = 32, name: str = "fake", max_tokens: int = 64) -> None:
        self.name = name
        self.dimension = dimension
        self.max_tokens = max_tokens
        self.id = f"{name}@{dimension:012d}"
        self.embedded_passages = 0

    def embed_queries(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed like passages."""
        return np.stack([self._embed(text) for text in texts]) if texts else self._nothing()

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed, and count how many."""
        self.embedded_passages += len(texts)
        return np.stack([self._embed(text) for text in texts]) if texts else self._nothing()

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Return one token a word or punctuation mark."""
        return [match.span() for match in _WORD.finditer(text)]

    def _embed(self, text: str) -> NDArray[np.float32]:
        total = np.full(self.dimension, 1e-6, dtype=np.float32)
        for word in _WORD.findall(text.lower()):
            seed = int.from_bytes(blake2b(f"{self.name}:{word}".encode(), digest_size=8).digest())
            total += np.random.default_rng(seed).standard_normal(self.dimension).astype(np.float32)
        unit: NDArray[np.float32] = total / np.linalg.norm(total)
        return unit

    def _nothing(self) -> NDArray[np.float32]:
        return np.empty((0, self.dimension), dtype=np.float32)


Said = Sequence[Delta | Call]
Speaker = Callable[[Sequence[Message], Sequence[Part]], Said]


def quote_first_sentence(messages: Sequence[Message], parts: Sequence[Part]) -> Said:
    """Say the first sentence of the best passage, and where it is from; refuse where there is none."""
    passages = [passage for part in parts for passage in part.passages]
    if not passages:
        return [Delta("text", f"You said: {messages[-1].text[:200]}")]
    sentence = re.split(r"(?<=[.!?])\s", passages[0].text.strip())[0]
    return [*(Delta("text", piece) for piece in re.findall(r"\S+\s*", sentence)), Delta("text", " [1]")]


class FakeChatModel:
    """Says what `speaker` makes of the conversation, one piece after `pause_s` seconds each."""

    name = "fake-chat"
    fingerprint = Fingerprint("0" * 64)

    def __init__(
        self,
        speaker: Speaker = quote_first_sentence,
        *,
        skill: Skill = "trained",
        reads: bool = True,
        pause_s: float = 0.0,
        context_length: int = 4096,
        sums: Sequence[LikelySum] = (),
    ) -> None:
        """`sums` are what it is likely to compute, whatever the numbers."""
        self.sums = sums
        self.skill = skill
        self.reads = reads and skill != "none"
        self.context_length = context_length
        self.running = 0
        self.said = 0
        self._speaker = speaker
        self._pause_s = pause_s

    def count_tokens(self, text: str) -> int:
        """Return one token a word or punctuation mark."""
        return len(_WORD.findall(text))

    @contextmanager
    def begin(
        self, messages: Sequence[Message], *, cancelled: Cancelled = lambda: False
    ) -> Iterator["FakeTurn"]:
        """Open a turn; `running` counts those that are open."""
        self.running += 1
        try:
            yield FakeTurn(self, messages, cancelled)
        finally:
            self.running -= 1

    def speak(
        self, messages: Sequence[Message], parts: Sequence[Part], cancelled: Cancelled
    ) -> Iterator[Delta | Call | End]:
        """Yield the pieces; `said` counts them."""
        for item in self._speaker(messages, parts):
            if cancelled():
                yield End("cancelled")
                return
            time.sleep(self._pause_s)
            self.said += 1
            yield item
            if isinstance(item, Call) and item.closed:
                return
        yield End("end")


class FakeTurn:
    """A turn of the stand-in: it remembers what was appended."""

    def __init__(self, model: FakeChatModel, messages: Sequence[Message], cancelled: Cancelled) -> None:
        self._model = model
        self._messages = messages
        self._cancelled = cancelled
        self._parts: list[Part] = []
        self.usage = Usage(prompt_tokens=sum(model.count_tokens(message.text) for message in messages))

    @property
    def transcript(self) -> str:
        """The messages and what was appended."""
        said = [f"{message.role}: {message.text}" for message in self._messages]
        return "\n".join([*said, *(self._text(part) for part in self._parts)])

    def append(self, *parts: Part) -> None:
        """Keep them for the speaker."""
        self._parts += parts

    def likeliest_sums(self, numbers: frozenset[str], *, most_steps: int) -> Iterator[LikelySum]:  # noqa: ARG002 - the model's are planned
        """Yield the model's."""
        return iter(self._model.sums)

    def generate(self, sampling: Sampling) -> Iterator[Delta | Call | End]:
        """Let the speaker go on."""
        for count, item in enumerate(self._model.speak(self._messages, self._parts, self._cancelled)):
            if count == sampling.max_tokens and not isinstance(item, End):
                yield End("length")
                return
            if not isinstance(item, End):
                self.usage = replace(self.usage, completion_tokens=self.usage.completion_tokens + 1)
            yield item

    def _text(self, part: Part) -> str:
        return part.text or " ".join(passage.text for passage in part.passages)
