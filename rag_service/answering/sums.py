"""Sums of a small model: whether one may be an answer, and other tries where it may not."""

import re
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace

from corpus.errors import PromptTooLong
from corpus.sentences import sentence_spans
from rag_service.answering.chat_model import Sampling
from rag_service.answering.dimensions import dimensions_of, holds_together
from rag_service.answering.draft import Attempt, Draft
from rag_service.answering.tools import ToolCall
from rag_service.retrieval.numbers import WORD_BEHIND, number_words_in, numbers_in, placed_numbers
from rag_service.retrieval.question_types import counts_in, needs_a_sum
from rag_service.retrieval.terms import terms_of
from rag_service.retrieval.units import unit_behind

TRIES = 16
_DRAWN_AT = 0.8  # temperature
_TOKENS = 96  # most, of a try that is drawn
_LONGEST_S = 10.0  # after that no other try is begun
_SIGNS = re.compile(r"[-+*/()]")
_CONSTANTS = (
    ("2", re.compile(r"\b(?:back|return|both|twice|double)\b", re.IGNORECASE)),
    ("100", re.compile(r"%|\bper ?cent", re.IGNORECASE)),
)

# Up to three words behind a number, up to the next number or small word: "woollen hats".
_THING = re.compile(f"(?:{WORD_BEHIND}){{1,3}}", re.IGNORECASE)

Write = Callable[[Sampling], Generator[object]]  # one turn of the model, heard by the draft


def compute(draft: Draft, sampling: Sampling, write: Write) -> None:
    """Let the model try a sum, and again where the first one does not hold, until two that do agree.

    What it computes first is often of whatever numbers stand near, while the right sum is likely too:
    self-consistency (Wang et al. 2022, arXiv:2203.11171), over what can be checked. Where the question counts
    something, which says much about the sum, a single one that holds will do if no other result does. Else
    the draft has the first one, to be refused.
    """
    before = draft.attempt
    for _ in write(sampling):
        pass
    if is_computed(draft):
        return
    first, held, until = draft.attempt, dict[str, Attempt](), time.monotonic() + _LONGEST_S
    for seed in range(1, TRIES):
        if time.monotonic() > until:
            break
        draft.go_back_to(before)
        _try(draft, replace(sampling, temperature=_DRAWN_AT, seed=seed, reasoning=False), write)
        if is_computed(draft):
            result = _calculations(draft.tool_calls)[-1].output
            if result in held:
                return
            held[result] = draft.attempt
    only = next(iter(held.values())) if len(held) == 1 and counts_in(draft.query) else None
    draft.go_back_to(only or first)


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
    return (
        counts <= _used(sums) <= _known(question, sums, texts)
        and holds_together(computed, question, texts)
        and _speaks_of_all(question, _used(sums), texts)
    )


def _speaks_of_all(question: str, used: frozenset[str], texts: Sequence[str]) -> bool:
    """Tell whether each of several things that are counted is spoken of beside a number that was used.

    Three hats and two mugs are not paid with the price of a hat and that of a shirt. What stands beside no
    number in the texts is left out.
    """
    sentences = [text[start:end] for text in texts for start, end in sentence_spans(text)]
    spoken = [
        (frozenset(terms_of(each).stems), numbers_in(each) | number_words_in(each)) for each in sentences
    ]
    counted = [
        stems for stems in counted_things(question) if any(stems & own for own, told in spoken if told)
    ]
    return len(counted) < 2 or all(  # noqa: PLR2004 - of one thing the number is most likely its own
        any(stems & own and told & used for own, told in spoken) for stems in counted
    )


def counted_things(question: str) -> list[frozenset[str]]:
    """Return the stems of what each number of a question counts; units are no things."""
    found = []
    for _, start, end in placed_numbers(question):
        behind = _THING.match(question, end)
        if behind and unit_behind(question, start, end)[0] is None:
            found.append(frozenset(terms_of(behind[0]).stems))
    return [stems for stems in found if stems]


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
