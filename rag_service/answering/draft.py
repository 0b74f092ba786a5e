"""What is asked for, what comes out, and the answer in the making between them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from corpus.collections import DEFAULT_COLLECTION
from corpus.ids import new_id
from rag_service.answering.bridging import Bridge
from rag_service.answering.chat_model import Sampling, Usage
from rag_service.answering.citation_markers import take_markers
from rag_service.answering.citations import Citation, CitedAnswer, Groundedness
from rag_service.answering.conversation import Message
from rag_service.answering.markers import Delta
from rag_service.answering.reading_together import Joined
from rag_service.answering.refusals import RefusalReason
from rag_service.answering.tools import ToolCall
from rag_service.answering.two_readers import Told
from rag_service.retrieval.filters import Filter
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.search import Expand, Mode, SearchResult


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A conversation that ends with a question, and how to answer it; fields as in the contract."""

    messages: tuple[Message, ...]
    collections: tuple[str, ...] = (DEFAULT_COLLECTION,)
    filters: Filter | None = None
    mode: Literal["always", "auto", "never"] = "always"
    search: Mode = "hybrid"
    top_k: int = 8
    candidates: int = 50
    expand: Expand = "none"
    rewrite_query: bool = True
    sampling: Sampling = field(default_factory=Sampling)
    reasoning: bool = False
    on_no_evidence: Literal["refuse", "answer"] = "refuse"
    description: str = ""

    @property
    def question(self) -> str:
        """The last turn of the user."""
        return self.messages[-1].text


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in milliseconds."""

    embed: float = 0.0
    search: float = 0.0
    prefill: float = 0.0
    decode: float = 0.0
    verify: float = 0.0
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer or a refusal. `in_context` are the chunk ids of the passages that the model read.

    `cut_off`: the model had used up `max_tokens` before its end; tries that were given up do not count.
    """

    id: str
    refusal: RefusalReason | None
    text: str
    cut_off: bool
    reasoning: str | None
    rewritten_query: str | None
    citations: tuple[Citation, ...]
    passages: tuple[Passage, ...]
    in_context: frozenset[int]
    tool_calls: tuple[ToolCall, ...]
    groundedness: Groundedness | None
    evidence: float | None
    generation: str | None
    model: str
    usage: Usage
    timings_ms: Timings
    transcript: str

    @property
    def status(self) -> Literal["answered", "refused"]:
        """Whether there is an answer."""
        return "refused" if self.refusal else "answered"


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a model wrote in one try, what it had read by then, and the tools it used."""

    text: str
    cut_off: bool
    marked_refusal: bool
    reasoning: str
    read: tuple[Passage, ...]
    tool_calls: tuple[ToolCall, ...]
    transcript: str


@dataclass(slots=True)
class Draft:
    """An answer in the making."""

    request: AnswerRequest
    began: float
    model: str
    found: SearchResult | None = None
    searched: SearchResult | None = None  # what was found, and is of no use
    rewritten_query: str | None = None
    asked: str = ""  # the query as it was judged
    bridge: Bridge | None = None  # what tells the time that is asked about
    evidence: float | None = None
    facts: Sequence[str] = ()
    best: Sequence[str] = ()  # the sentences that fit best, for a trained small model
    excerpted: Sequence[str] = ()  # around which it reads
    told: tuple[Told, ...] = ()  # what a reader takes for the answer in the best sentences
    joined: Joined | None = None  # what two passages tell together, as long as that may be the answer
    stated: str | None = None  # a sentence that answers as a whole, where a few words do not do
    text: str = ""
    cut_off: bool = False  # by `max_tokens`
    withheld: bool = False  # until it was checked
    reasoning: str = ""
    marked_refusal: bool = False
    read: tuple[Passage, ...] = ()
    shown: Mapping[int, str] = field(default_factory=dict)  # by chunk id, what the model reads of a passage
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    transcript: str = ""
    verify_ms: float = 0.0

    @property
    def query(self) -> str:
        """The question, with what it follows up on."""
        return self.rewritten_query or self.request.question

    @property
    def passages(self) -> tuple[Passage, ...]:
        """What was found before the model wrote."""
        return self.found.passages if self.found else ()

    @property
    def generation(self) -> str | None:
        """The index generation that was searched."""
        return self.found.generation if self.found else None

    @property
    def sources(self) -> tuple[Passage, ...]:
        """What the answer may rest on: what the model read, and what told the time that is asked about."""
        known = {passage.chunk_id for passage in self.read}
        dated = self.bridge.fact.passage if self.bridge else None
        return self.read if dated is None or dated.chunk_id in known else (*self.read, dated)

    @property
    def rests_on(self) -> tuple[tuple[str, str], ...]:
        """Sentences without which the answer does not follow, each behind its document's id."""
        joined = self.joined.rests_on if self.joined else ()
        return (*joined, self.bridge.fact.place) if self.bridge else joined

    def texts_of(self, passages: Sequence[Passage]) -> list[str]:
        """Return what the model has read of these passages: excerpts, or all of what it found by itself."""
        return [self.shown.get(passage.chunk_id, passage.text) for passage in passages]

    @property
    def attempt(self) -> Attempt:
        """What was written so far."""
        return Attempt(
            self.text,
            self.cut_off,
            self.marked_refusal,
            self.reasoning,
            self.read,
            self.tool_calls,
            self.transcript,
        )

    def forget_passages(self) -> None:
        """Go on as if nothing had been searched for; what the search took in time stays told."""
        self.searched, self.found, self.evidence = self.found, None, None
        self.facts, self.best, self.excerpted, self.told = (), (), (), ()
        self.joined, self.stated, self.rewritten_query = None, None, None

    def go_back_to(self, attempt: Attempt) -> None:
        """Forget what was written since; what that took in tokens and time stays counted."""
        self.text, self.cut_off, self.marked_refusal = attempt.text, attempt.cut_off, attempt.marked_refusal
        self.reasoning, self.transcript = attempt.reasoning, attempt.transcript
        self.read, self.tool_calls = attempt.read, attempt.tool_calls

    def hear(self, delta: Delta) -> None:
        """Take in a piece of what the model says."""
        if delta.kind == "reasoning":
            self.reasoning += delta.text
        else:
            self.marked_refusal = self.marked_refusal or delta.kind == "refusal"
            self.text += delta.text

    def finish(
        self, *, text: str, cited: CitedAnswer | None = None, refusal: RefusalReason | None = None
    ) -> Answer:
        """Return the whole."""
        known = {passage.chunk_id for passage in self.passages}
        later = tuple(passage for passage in self.sources if passage.chunk_id not in known)
        return Answer(
            id=new_id("ans"),
            refusal=refusal,
            text=text,
            cut_off=self.cut_off,
            reasoning=take_markers(self.reasoning.strip())[0] or None,
            rewritten_query=self.rewritten_query,
            citations=cited.citations if cited else (),
            passages=(*self.passages, *later),
            in_context=frozenset(passage.chunk_id for passage in self.read),
            tool_calls=self.tool_calls,
            groundedness=cited.groundedness if cited else None,
            evidence=self.evidence,
            generation=self.generation,
            model=self.model,
            usage=self.usage,
            timings_ms=self._timings(),
            transcript=self.transcript,
        )

    def _timings(self) -> Timings:
        found = self.found or self.searched
        searching = found.timings_ms if found else None
        return Timings(
            embed=searching.embed if searching else 0.0,
            search=searching.search if searching else 0.0,
            prefill=self.usage.prefill_ms,
            decode=self.usage.decode_ms,
            verify=self.verify_ms,
            total=(time.perf_counter() - self.began) * 1000,
        )
