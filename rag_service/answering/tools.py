"""The tool loop: the model writes, asks for a search or a calculation, reads the result, and goes on.

The context only grows: a result is appended behind the call, so what the model has read stays in its
cache. A call that can not be carried out gets a sentence that says why, and the model goes on with that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from rag_service.answering.calculator import CalculationError, calculate
from rag_service.answering.chat_model import EndReason, Sampling, Turn
from rag_service.answering.conversation import Part, SourcePassage
from rag_service.answering.markers import Call, Delta
from rag_service.retrieval.passages import Passage

MAX_SEARCHES = 3
MAX_CALLS = 12
NOTHING_FOUND = "Nothing was found."
_SHOWN_PASSAGES = 3  # of a search that the model asked for
_SHOWN_CHARACTERS = 300

Search = Callable[[str], tuple[Passage, ...]]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One use of a tool; `output` is what the model read."""

    tool: Literal["search", "calculate"]
    input: str
    output: str


@dataclass(slots=True)
class ToolLoop:
    """One answer's use of tools; `passages` are those in the context, in the order of their numbers."""

    search: Search | None
    passages: list[Passage] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    end: EndReason = "end"

    def run(self, turn: Turn, sampling: Sampling) -> Iterator[Delta | ToolCall]:
        """Let the model write until its turn ends; `max_tokens` counts over all its pieces."""
        written_before = turn.usage.completion_tokens
        while True:
            written = turn.usage.completion_tokens - written_before
            call: Call | None = None
            for item in turn.generate(replace(sampling, max_tokens=max(1, sampling.max_tokens - written))):
                if isinstance(item, Delta):
                    yield item
                elif isinstance(item, Call):
                    call = item
                else:
                    self.end = item.reason
            if call is None or not call.closed or len(self.calls) >= MAX_CALLS:
                return
            done, result = self._carry_out(call)
            self.calls.append(done)
            yield done
            turn.append(result)

    def _carry_out(self, call: Call) -> tuple[ToolCall, Part]:
        text = call.text.strip()
        if call.kind == "calculate":
            output = _calculated(text)
            return ToolCall("calculate", text, output), Part("calculate_result", output)
        refused = self._why_not(text)
        found = () if refused or self.search is None else self.search(text)[:_SHOWN_PASSAGES]
        if not found:
            reason = refused or NOTHING_FOUND
            return ToolCall("search", text, reason), Part("calculate_result", reason)
        self.passages += found
        sources = tuple(SourcePassage(str(each.chunk_id), each.text, each.document_title) for each in found)
        titles = "; ".join(each.document_title for each in found)
        return ToolCall("search", text, titles[:_SHOWN_CHARACTERS]), Part("search_result", passages=sources)

    def _why_not(self, query: str) -> str:
        """Return why a search is not made, or nothing."""
        searches = [call for call in self.calls if call.tool == "search"]
        if self.search is None:
            return "Searching is off for this question."
        if not query:
            return "The search was empty."
        if any(call.input.lower() == query.lower() for call in searches):
            return "This was searched for before."
        if len(searches) >= MAX_SEARCHES:
            return f"No more than {MAX_SEARCHES} searches are made for one answer."
        return ""


def _calculated(expression: str) -> str:
    try:
        return calculate(expression).result
    except CalculationError as error:
        return str(error)
