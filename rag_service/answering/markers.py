"""The markers of the answerer's turn, and how generated text with markers is read.

The shipped answerer has them as single tokens that its vocabulary gained in post-training
(`CONTROL_TOKENS`); for other models they are plain text. Only what a model *generates* is read for
markers. Text of users and documents is never read this way, and never encoded as a control token.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeVar

TURN_START = "<|im_start|>"
ROLE_END = "<|im_sep|>"
TURN_END = "<|im_end|>"


class Marker(StrEnum):
    """What the model can say besides text; results are written by the service alone."""

    SEARCH_START = "<SEARCH_START>"
    SEARCH_END = "<SEARCH_END>"
    RESULT_START = "<RESULT_START>"
    RESULT_END = "<RESULT_END>"
    CALC_START = "<CALC_START>"
    CALC_END = "<CALC_END>"
    THINK_START = "<THINK_START>"
    THINK_END = "<THINK_END>"
    REFUSAL = "<REFUSAL>"


SERVICE_MARKERS = frozenset({Marker.RESULT_START, Marker.RESULT_END})
NEW_TOKENS: tuple[str, ...] = (ROLE_END, *Marker)
CONTROL_TOKENS: tuple[str, ...] = (TURN_START, TURN_END, *NEW_TOKENS)
# Reasoning models of others write these; they mean the same.
SYNONYMS = {"<think>": Marker.THINK_START, "</think>": Marker.THINK_END}

VisibleKind = Literal["text", "reasoning", "refusal"]
CallKind = Literal["search", "calculate"]
Event = TypeVar("Event")
_LONGEST_CALL = 2000  # characters; a model that does not close its call is stopped here


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of what the model says."""

    kind: VisibleKind
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """The model asks for a search or a calculation; `closed` is false if the end marker never came."""

    kind: CallKind
    text: str
    closed: bool = True


class Scanner:
    """Finds fixed strings in text that arrives in pieces.

    Text that may be the beginning of a string that is looked for is held back until that is decided.
    """

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = tuple(wanted)
        self._held = ""

    def feed(self, text: str) -> Iterator[tuple[str, bool]]:
        """Yield the text that is certain, in order, each piece with whether it is a wanted string."""
        self._held += text
        while found := self._first():
            position, string = found
            if position:
                yield self._held[:position], False
            self._held = self._held[position + len(string) :]
            yield string, True
        certain = len(self._held) - self._doubtful_length()
        if certain:
            yield self._held[:certain], False
            self._held = self._held[certain:]

    def flush(self) -> str:
        """Return what is held back; no more text comes."""
        held, self._held = self._held, ""
        return held

    def _first(self) -> tuple[int, str] | None:
        """The wanted string that begins first; of two that begin together the longer one."""
        positions = ((self._held.find(string), -len(string), string) for string in self._wanted)
        earliest = min((item for item in positions if item[0] >= 0), default=None)
        return (earliest[0], earliest[2]) if earliest else None

    def _doubtful_length(self) -> int:
        longest = max((len(string) for string in self._wanted), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(string.startswith(self._held[-length:]) for string in self._wanted):
                return length
        return 0


class TurnReader:
    """Sorts a turn's text and markers into deltas and calls; markers out of place are dropped."""

    def __init__(self, kind: VisibleKind = "text") -> None:
        """`kind` is what the first text is."""
        self._kind: VisibleKind = kind
        self._call: CallKind | None = None
        self._asked = ""

    def text(self, text: str) -> Iterator[Delta | Call]:
        """Take in text."""
        if self._call:
            self._asked += text
            if len(self._asked) > _LONGEST_CALL:
                yield from self.finish()
        elif text:
            yield Delta(self._kind, text)

    def marker(self, marker: Marker) -> Iterator[Call]:
        """Take in a marker; a search or calculation ends at its own end marker."""
        match marker:
            case Marker.SEARCH_START:
                self._call, self._asked = "search", ""
            case Marker.CALC_START:
                self._call, self._asked = "calculate", ""
            case Marker.SEARCH_END if self._call == "search":
                yield self._end_call("search", closed=True)
            case Marker.CALC_END if self._call == "calculate":
                yield self._end_call("calculate", closed=True)
            case Marker.THINK_START:
                self._kind = "reasoning"
            case Marker.THINK_END:
                self._kind = "text"
            case Marker.REFUSAL:
                self._kind = "refusal"
            case _:
                pass

    def finish(self) -> Iterator[Call]:
        """End the turn; a call that is still open comes out as not closed."""
        if self._call:
            yield self._end_call(self._call, closed=False)

    def _end_call(self, kind: CallKind, *, closed: bool) -> Call:
        call = Call(kind, self._asked, closed)
        self._call, self._asked = None, ""
        return call


def without_control_tokens(
    events: "Iterable[Delta | Event]", sources: Sequence[str]
) -> "Iterator[Delta | Event]":
    """Put a space where a model spelled a control token out, letter by letter, as no reader should see it.

    Tokens that stand in the sources are theirs: a document may be about them. A space, since nothing at
    all could make another token of what stands around it.
    """
    scanner = Scanner([token for token in CONTROL_TOKENS if not any(token in each for each in sources)])
    kind: VisibleKind = "text"
    for event in events:
        goes_on = isinstance(event, Delta) and event.kind == kind
        if not goes_on and (held := scanner.flush()):
            yield Delta(kind, held)
        if isinstance(event, Delta):
            kind = event.kind
            for text, is_token in scanner.feed(event.text):
                yield Delta(kind, " " if is_token else text)
        else:
            yield event
    if held := scanner.flush():
        yield Delta(kind, held)
