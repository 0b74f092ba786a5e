"""The model's part of an answer: turns that it writes, collected in the draft."""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from rag_service.answering.chat_model import Cancelled, ChatModel, GenerationCancelled, LikelySum, Sampling
from rag_service.answering.draft import Draft
from rag_service.answering.markers import Delta, without_control_tokens
from rag_service.answering.prompt import Prompt, build_steps_prompt
from rag_service.answering.tools import Search, ToolCall, ToolLoop

_STEPS = Sampling(max_tokens=96)


@dataclass(frozen=True, slots=True)
class Writing:
    """What the model may write of one answer; each turn begins anew behind the prompt.

    With `withholds` its words are held back from where it searches by itself, until they are checked.
    """

    model: ChatModel
    draft: Draft
    prompt: Prompt
    search: Search | None
    cancelled: Cancelled
    withholds: bool

    def turn(self, sampling: Sampling, *, given: str = "") -> Generator[Delta | ToolCall]:
        """Yield what one turn of the model brings; it begins with the sum that is given, if one is.

        Raises:
            GenerationCancelled: whoever asked is gone.
            PromptTooLong: what it found meanwhile does not fit.
        """
        draft, in_context = self.draft, self.prompt.in_context
        loop = ToolLoop(self.search, list(in_context))
        with self.model.begin(self.prompt.messages, cancelled=self.cancelled) as turn:
            turn.append(*self.prompt.opening)
            said = loop.run(turn, sampling, given=given)
            try:
                for event in without_control_tokens(said, [passage.text for passage in in_context]):
                    if isinstance(event, Delta):
                        draft.hear(event)
                    else:
                        draft.read, draft.tool_calls = tuple(loop.passages), tuple(loop.calls)
                        draft.withheld |= event.tool == "search" and self.withholds
                    if not (isinstance(event, Delta) and draft.withheld):
                        yield event
            finally:  # whoever reads may have had enough
                draft.read, draft.tool_calls = tuple(loop.passages), tuple(loop.calls)
                draft.cut_off = loop.end == "length"
                draft.usage, draft.transcript = draft.usage.plus(turn.usage), turn.transcript
        if loop.end == "cancelled":
            raise GenerationCancelled("Nobody waits for this answer any more.")

    def likeliest_sums(self, numbers: frozenset[str], *, most_steps: int) -> Iterator[LikelySum]:
        """Yield what the model would compute of these numbers; see `Turn.likeliest_sums`."""
        with self.model.begin(self.prompt.messages, cancelled=self.cancelled) as turn:
            turn.append(*self.prompt.opening)
            yield from turn.likeliest_sums(numbers, most_steps=most_steps)
            self.draft.usage = self.draft.usage.plus(turn.usage)

    def steps(self) -> Iterator[Delta]:
        """An untrained model writes its steps for themselves: together with them it finds no end."""
        draft = self.draft
        with self.model.begin(build_steps_prompt(self.prompt), cancelled=self.cancelled) as turn:
            for item in without_control_tokens(turn.generate(_STEPS), draft.facts):
                if isinstance(item, Delta):
                    step = Delta("reasoning", item.text)
                    draft.hear(step)
                    yield step
            draft.usage = turn.usage
