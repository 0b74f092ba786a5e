"""The story of one answer: find passages, let the model write, hold what it wrote against them.

Events come as things happen, so that a reader sees passages before words and words before the end. The
last event is `Done`, with the whole answer.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, cast

from corpus.collections import DEFAULT_COLLECTION
from corpus.embedding import Embedder
from corpus.ids import new_id
from rag_service.answering.calculator import calculate
from rag_service.answering.chat_model import Cancelled, ChatModel, Sampling, Usage
from rag_service.answering.citations import Citation, CitedAnswer, Groundedness, cite_answer
from rag_service.answering.conversation import Message
from rag_service.answering.markers import Delta
from rag_service.answering.prompt import Prompt, build_facts_prompt, build_prompt, system_text
from rag_service.answering.quoting import best_sentences, holds, rate_times_count
from rag_service.answering.refusals import SENTENCES, RefusalReason, is_refusal
from rag_service.answering.tools import Search, ToolCall, ToolLoop
from rag_service.retrieval.evidence import THRESHOLD, evidence_score
from rag_service.retrieval.filters import Filter
from rag_service.retrieval.numbers import numbers_in
from rag_service.retrieval.passages import Passage
from rag_service.retrieval.search import Expand, Mode, Retriever, SearchRequest, SearchResult


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
    """An answer or a refusal. `in_context` are the chunk ids of the passages that the model read."""

    id: str
    refusal: RefusalReason | None
    text: str
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
class Found:
    """The first event: what was found."""

    passages: tuple[Passage, ...]
    generation: str | None


@dataclass(frozen=True, slots=True)
class Done:
    """The last event: all of it."""

    answer: Answer


_FACTS = 4  # sentences that an untrained model reads
_BRIEFLY = Sampling(max_tokens=48, stop=("\n",))

Event = Found | ToolCall | Delta | Citation | Done


class Answerer:
    """Answers questions; may be called by several threads at once."""

    def __init__(self, retriever: Retriever, embedder: Embedder, chat_model: ChatModel) -> None:
        self._retriever = retriever
        self._embedder = embedder
        self._model = chat_model

    def answer(self, request: AnswerRequest, *, cancelled: Cancelled = lambda: False) -> Answer:
        """Return the whole answer.

        Raises:
            CollectionNotFound, EmbedderMismatch: as `Retriever.search`.
            PromptTooLong: the conversation does not fit the model's context.
            GenerationCancelled: `cancelled` became true.
        """
        *_, last = self.stream(request, cancelled=cancelled)
        return cast("Done", last).answer

    def stream(self, request: AnswerRequest, *, cancelled: Cancelled = lambda: False) -> Iterator[Event]:
        """Yield what happens, `Done` last; see `answer` for the errors."""
        draft = _Draft(request, time.perf_counter(), self._model.name)
        draft.found = self._find(request, draft)
        yield Found(draft.passages, draft.generation)
        if self._refuses_for_lack_of_evidence(request, draft):
            yield from _refused(draft, "no_evidence")
            return
        yield from self._write(request, draft, cancelled)
        yield from self._check(request, draft)

    def _find(self, request: AnswerRequest, draft: "_Draft") -> SearchResult | None:
        """Search first, unless the model is to decide, and can."""
        decides = request.mode == "auto" and self._model.skill == "trained"
        if request.mode == "never" or decides:
            return None
        query = _query_of(request)
        draft.rewritten_query = query if query != request.question else None
        return self._retriever.search(_search_request(request, query))

    def _refuses_for_lack_of_evidence(self, request: AnswerRequest, draft: "_Draft") -> bool:
        if draft.found is None:
            return False
        draft.evidence = evidence_score(draft.query, draft.passages, self._embedder)
        return request.on_no_evidence == "refuse" and draft.evidence < THRESHOLD

    def _write(self, request: AnswerRequest, draft: "_Draft", cancelled: Cancelled) -> Iterator[Event]:
        """Let the model write; its text and its use of tools are collected in the draft."""
        prompt = self._prompt(request, draft)
        loop = ToolLoop(self._search_tool(request), list(prompt.in_context))
        sampling = _BRIEFLY if draft.facts else request.sampling
        with self._model.begin(prompt.messages, cancelled=cancelled) as turn:
            turn.append(*prompt.opening)
            for event in loop.run(turn, sampling):
                if isinstance(event, Delta):
                    draft.hear(event)
                if not (isinstance(event, Delta) and draft.facts):  # those words are checked first
                    yield event
            draft.usage, draft.transcript = turn.usage, turn.transcript
        draft.read, draft.tool_calls = tuple(loop.passages), tuple(loop.calls)

    def _prompt(self, request: AnswerRequest, draft: "_Draft") -> Prompt:
        opening = system_text(datetime.now(UTC).date(), request.description)
        if self._model.skill == "none" and draft.passages:
            draft.facts = best_sentences(draft.query, draft.passages, self._embedder)[:_FACTS]
        if draft.facts:
            return build_facts_prompt(request.question, draft.facts, draft.passages, opening)
        return build_prompt(
            self._model,
            request.messages,
            draft.passages,
            query=draft.query,
            max_tokens=request.sampling.max_tokens,
            opening=opening,
        )

    def _search_tool(self, request: AnswerRequest) -> Search | None:
        if request.mode == "never":
            return None
        return lambda query: self._retriever.search(_search_request(request, query)).passages

    def _check(self, request: AnswerRequest, draft: "_Draft") -> Iterator[Event]:
        """Refusals become a status; sentences are held against what the model read, and cited."""
        if not draft.facts and (draft.marked_refusal or is_refusal(draft.text)):
            yield from _refused(draft, "insufficient" if draft.read else "no_evidence")
            return
        if not draft.read:
            yield Done(draft.finish(text=draft.text.strip()))
            return
        began = time.perf_counter()
        cited = self._with_facts(draft) if draft.facts else self._cited(draft, draft.text)
        draft.verify_ms = (time.perf_counter() - began) * 1000
        if not cited.citations and request.on_no_evidence == "refuse":
            yield from _refused(draft, "unverified")
            return
        if draft.facts:
            yield Delta("text", cited.text)
        yield from cited.citations
        yield Done(draft.finish(text=cited.text, cited=cited))

    def _cited(self, draft: "_Draft", text: str) -> CitedAnswer:
        known = " ".join(call.output for call in draft.tool_calls if call.tool == "calculate")
        asked = draft.query if known else ""  # a sum may use the question's own numbers
        return cite_answer(
            text,
            draft.read,
            self._embedder,
            question=draft.query,
            known_numbers=numbers_in(f"{known} {asked}"),
        )

    def _with_facts(self, draft: "_Draft") -> CitedAnswer:
        """Take an untrained model's sentence where it holds, else the source's; work out a rate."""
        best = draft.facts[0]
        expression = rate_times_count(draft.query, best)
        if expression:
            result = calculate(expression).result
            draft.tool_calls = (*draft.tool_calls, ToolCall("calculate", expression, result))
            said = best.rstrip(". ")
            return self._cited(draft, f"{said}; {expression.replace('*', ' * ')} = {result}.")
        own = self._cited(draft, draft.text)
        return own if holds(own, best) else self._cited(draft, best)


@dataclass(slots=True)
class _Draft:
    """An answer in the making."""

    request: AnswerRequest
    began: float
    model: str
    found: SearchResult | None = None
    rewritten_query: str | None = None
    evidence: float | None = None
    facts: Sequence[str] = ()
    text: str = ""
    reasoning: str = ""
    marked_refusal: bool = False
    read: tuple[Passage, ...] = ()
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
        return self.found.passages if self.found else ()

    @property
    def generation(self) -> str | None:
        return self.found.generation if self.found else None

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
        later = tuple(passage for passage in self.read if passage.chunk_id not in known)
        return Answer(
            id=new_id("ans"),
            refusal=refusal,
            text=text,
            reasoning=self.reasoning.strip() or None,
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
        searching = self.found.timings_ms if self.found else None
        return Timings(
            embed=searching.embed if searching else 0.0,
            search=searching.search if searching else 0.0,
            prefill=self.usage.prefill_ms,
            decode=self.usage.decode_ms,
            verify=self.verify_ms,
            total=(time.perf_counter() - self.began) * 1000,
        )


def _refused(draft: _Draft, reason: RefusalReason) -> Iterator[Event]:
    yield Done(draft.finish(text=SENTENCES[reason], refusal=reason))


def _search_request(request: AnswerRequest, query: str) -> SearchRequest:
    return SearchRequest(
        query=query,
        collections=request.collections,
        filters=request.filters,
        top_k=request.top_k,
        candidates=request.candidates,
        mode=request.search,
        expand=request.expand,
    )


def _query_of(request: AnswerRequest) -> str:
    """Return what is searched for: a follow-up takes the user's turn before it along."""
    earlier = [message.text for message in request.messages[:-1] if message.role == "user"]
    if not request.rewrite_query or not earlier:
        return request.question
    return f"{earlier[-1]} {request.question}"
