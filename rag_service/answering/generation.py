"""Writing token by token: choosing the next one, reading what was written, noticing when to stop."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from rag_service.answering.chat_model import Sampling
from rag_service.answering.markers import Call, Delta, Marker, Scanner, TurnReader
from rag_service.answering.template import Template

_LONGEST_PERIOD = 40  # tokens
_LOOP_TOKENS = 30  # a text is a loop when it repeats for this long, and at least three times


def token_chooser(sampling: Sampling, banned: Sequence[int]) -> Callable[[Tensor], int]:
    """Return a function from logits, shape (vocabulary,), to the next id; never one of `banned`."""
    forbidden = torch.tensor(banned, dtype=torch.long)
    generator = torch.Generator()
    if sampling.seed is not None:
        generator.manual_seed(sampling.seed)
    else:
        generator.seed()

    def choose(logits: Tensor) -> int:
        logits = logits.index_fill(0, forbidden, float("-inf"))
        if sampling.temperature == 0:
            return int(logits.argmax())
        probabilities = torch.softmax(logits / sampling.temperature, -1)
        return int(torch.multinomial(probabilities, 1, generator=generator))

    return choose


def is_loop(written: Sequence[int]) -> bool:
    """Whether the last tokens are one short sequence over and over; small models fall into that."""
    length = len(written)
    for period in range(1, _LONGEST_PERIOD + 1):
        needed = max(_LOOP_TOKENS, 3 * period)
        if length < needed:
            return False
        if all(written[-n] == written[-n - period] for n in range(1, needed - period + 1)):
            return True
    return False


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many first items are equal."""
    shorter = min(len(left), len(right))
    return next((n for n in range(shorter) if left[n] != right[n]), shorter)


class GeneratedText:
    """From ids to deltas and calls: decoding, markers, stop strings."""

    def __init__(self, template: Template, stop: tuple[str, ...], *, reasoning: bool = False) -> None:
        self._template = template
        self._text = template.vocabulary.text_stream()
        self._scanner = Scanner([*stop, *(Marker if template.plain_markers else ())])
        self._stop = stop
        self._reader = TurnReader("reasoning" if reasoning else "text")
        self.stopped = False

    def feed(self, number: int) -> Iterator[Delta | Call]:
        """Take in an id."""
        marker = self._template.markers.get(number)
        if marker is None:
            yield from self._scan(self._text.feed(number))
        else:
            yield from self._scan(self._text.flush())
            yield from self._reader.text(self._scanner.flush())
            yield from self._reader.marker(marker)

    def finish(self) -> Iterator[Delta | Call]:
        """No more ids come."""
        if not self.stopped:
            yield from self._scan(self._text.flush())
            yield from self._reader.text(self._scanner.flush())
        yield from self._reader.finish()

    def _scan(self, text: str) -> Iterator[Delta | Call]:
        for found, special in self._scanner.feed(text):
            if special and found in self._stop:
                self.stopped = True
                return
            yield from self._reader.marker(Marker(found)) if special else self._reader.text(found)
