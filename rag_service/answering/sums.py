"""Sums of a small model: whether one may be an answer, and other tries where it may not."""

import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace

from corpus.errors import PromptTooLong
from rag_service.answering.chat_model import Sampling
from rag_service.answering.dimensions import dimensions_of, holds_together
from rag_service.answering.draft import Draft
from rag_service.answering.tools import ToolCall
from rag_service.retrieval.numbers import number_words_in, numbers_in
from rag_service.retrieval.question_types import counts_in, needs_a_sum

TRIES = 16
_DRAWN_AT = 0.8  # temperature
_TOKENS = 96  # most, of a try that is drawn
_LONGEST_S = 10.0  # after that no other try is begun
_SIGNS = re.compile(r"[-+*/()]")
_CONSTANTS = (
    ("2", re.compile(r"\b(?:back|return|both|twice|double)\b", re.IGNORECASE)),
    ("100", re.compile(r"%|\bper ?cent", re.IGNORECASE)),
)

Write = Callable[[Sampling], Generator[object]]  # one turn of the model, heard by the draft


def compute(draft: Draft, sampling: Sampling, write: Write) -> None:
    """Let the model try a sum, and again where the first one does not hold, until two that do agree.

    What it computes first is often of whatever numbers stand near, while the right sum is likely too:
    self-consistency (Wang et al. 2022, arXiv:2203.11171), over what can be checked. Without two that agree
    the draft has the first one, to be refused.
    """
    before = draft.attempt
    for _ in write(sampling):
        pass
    if is_computed(draft):
        return
    first, held, until = draft.attempt, set[str](), time.monotonic() + _LONGEST_S
    for seed in range(1, TRIES):
        if time.monotonic() > until:
            break
        draft.go_back_to(before)
        _try(draft, replace(sampling, temperature=_DRAWN_AT, seed=seed, reasoning=False), write)
        if is_computed(draft):
            result = _calculations(draft.tool_calls)[-1].output
            if result in held:
                return
            held.add(result)
    draft.go_back_to(first)


def _try(draft: Draft, sampling: Sampling, write: Write) -> None:
    """Let the model write, as long as what it computes may still become a sum that holds."""
    short = replace(sampling, max_tokens=min(sampling.max_tokens, _TOKENS))
    with closing(write(short)) as events:
        try:
            for _ in events:
                calls = _calculations(draft.tool_calls)
                if calls and not _may_hold(draft.query, calls, draft.texts_of(draft.read)):
                    return
        except PromptTooLong:  # by what it found meanwhile; the first try stands
            return


def is_computed(draft: Draft) -> bool:
    """Tell whether the draft's sum may be an answer; see `computed_from`."""
    return computed_from(draft.query, draft.tool_calls, draft.texts_of(draft.read))


def computed_from(question: str, calls: Sequence[ToolCall], texts: Sequence[str]) -> bool:
    """Tell whether something was calculated that may be an answer.

    Its numbers must stand in the question or the texts, all that the question counts with must be among them
    if it surely asks for a sum, their dimensions must fit, and how much or how many is no negative number.
    """
    sums = _calculations(calls)
    if not sums or sums[-1].output.startswith("-"):
        return False
    counts = counts_in(question) if needs_a_sum(question) else frozenset()
    computed = [(call.input, call.output) for call in sums]
    return counts <= _used(sums) <= _known(question, sums, texts) and holds_together(
        computed, question, texts
    )


def _may_hold(question: str, calls: Sequence[ToolCall], texts: Sequence[str]) -> bool:
    """Tell whether a later sum may go on with these: their numbers are known, and fit each other."""
    computed = [(call.input, call.output) for call in calls]
    return _used(calls) <= _known(question, calls, texts) and bool(dimensions_of(computed, question, texts))


def _calculations(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """Leave out searches, and what could not be computed: the model read why, and may have mended it."""
    return [call for call in calls if call.tool == "calculate" and call.output[-1:].isdigit()]


def _used(sums: Sequence[ToolCall]) -> frozenset[str]:
    return numbers_in(_SIGNS.sub(" ", " ".join(call.input for call in sums)))


def _known(question: str, sums: Sequence[ToolCall], texts: Sequence[str]) -> frozenset[str]:
    said = [question, *texts, *(call.output for call in sums[:-1])]
    told = frozenset().union(*(numbers_in(text) | number_words_in(text) for text in said))
    return told | {number for number, form in _CONSTANTS if form.search(question)}
