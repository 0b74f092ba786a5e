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
from rag_service.retrieval.question_types import may_need_a_sum, needs_a_sum

MAX_SEARCHES = 3
MAX_CALLS = 12
NOTHING_FOUND = "Nothing was found."
NOT_CLOSED = "The call was not closed, so it was not carried out."
TOO_MANY = f"No more than {MAX_CALLS} calls are made for one answer."
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

    def run(self, turn: Turn, sampling: Sampling, *, given: str = "") -> Iterator[Delta | ToolCall]:
        """Let the model write until its turn ends; `max_tokens` counts over all its pieces.

        A sum that is `given` is put into its turn first, as if it had begun with it.
        """
        before = turn.usage.completion_tokens
        if given:
            yield self._begin_with(turn, given)
            sampling = _after_a_call(sampling)
        while (left := sampling.max_tokens - (turn.usage.completion_tokens - before)) > 0:
            call: Call | None = None
            for item in turn.generate(replace(sampling, max_tokens=left)):
                if isinstance(item, Delta):
                    yield item
                elif isinstance(item, Call):
                    call = item
                else:
                    self.end = item.reason
            if call is None:
                return
            done, result = self._carry_out(call)
            self.calls.append(done)
            yield done
            if result is None:
                return
            turn.append(result)
            sampling = _after_a_call(sampling)
        self.end = "length"

    def _begin_with(self, turn: Turn, expression: str) -> ToolCall:
        done, result = self._carry_out(Call("calculate", expression))
        turn.append(Part("calculate", expression), *([result] if result else []))
        self.calls.append(done)
        return done

    def _carry_out(self, call: Call) -> tuple[ToolCall, Part | None]:
        """Return what was done and what the model reads of it; None: the turn is broken off."""
        text = call.text.strip()
        if not call.closed or len(self.calls) >= MAX_CALLS:
            return ToolCall(call.kind, text, TOO_MANY if call.closed else NOT_CLOSED), None
        if call.kind == "calculate":
            output = _calculated(text)
            return ToolCall("calculate", text, output), Part("calculate_result", output)
        refused = self._why_not(text)
        found = () if refused or self.search is None else self._new(self.search(text))
        if not found:
            reason = refused or NOTHING_FOUND
            return ToolCall("search", text, reason), Part("calculate_result", reason)
        self.passages += found
        sources = tuple(SourcePassage(str(each.chunk_id), each.text, each.document_title) for each in found)
        titles = "; ".join(each.document_title for each in found)
        return ToolCall("search", text, titles[:_SHOWN_CHARACTERS]), Part("search_result", passages=sources)

    def _new(self, found: tuple[Passage, ...]) -> tuple[Passage, ...]:
        """Leave out what the model has before it already."""
        known = {each.chunk_id for each in self.passages}
        return tuple(each for each in found if each.chunk_id not in known)[:_SHOWN_PASSAGES]

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


def calculator_for(question: str) -> Literal["may", "must", "not"]:
    """Return what a question about passages has the calculator for.

    A small model that learned sums over passages computes where nothing is to be computed, and reads off
    where something is.
    """
    if needs_a_sum(question):
        return "must"
    return "may" if may_need_a_sum(question) else "not"


def _after_a_call(sampling: Sampling) -> Sampling:
    """The steps come before the first call, and a call that must be made was made."""
    may = "may" if sampling.calculator == "must" else sampling.calculator
    return replace(sampling, reasoning=False, calculator=may)


def _calculated(expression: str) -> str:
    try:
        return calculate(expression).result
    except CalculationError as error:
        return str(error)
