"""Sums of a small model: whether one may be an answer, and a likelier one where it may not."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from math import exp

from corpus.errors import PromptTooLong
from corpus.sentences import sentence_spans
from rag_service.answering.calculator import CalculationError, calculate
from rag_service.answering.chat_model import LikelySum, Sampling
from rag_service.answering.dimensions import holds_together
from rag_service.answering.draft import Draft
from rag_service.answering.tools import ToolCall
from rag_service.answering.writing import Writing
from rag_service.retrieval.numbers import WORD_BEHIND, number_words_in, numbers_in, placed_numbers
from rag_service.retrieval.quantities import Problem, Results, same, share_of
from rag_service.retrieval.question_types import counts_in, needs_a_sum
from rag_service.retrieval.readings import ReadSum
from rag_service.retrieval.terms import terms_of
from rag_service.retrieval.units import measures_another, unit_behind

MOST_STEPS = 60  # tokens that are looked at to find likely sums
_LEAST_SHARE = 0.1  # of the probability, that the sums of one result must have
_SURE = 0.5  # a share of the sum reader's from which its word is enough
_UNREAD = 0.01  # what a result counts that the sum reader does not think of
_SIGNS = re.compile(r"[-+*/()]")
_CONSTANTS = (
    ("2", re.compile(r"\b(?:back|return|both|twice|double)\b", re.IGNORECASE)),
    ("100", re.compile(r"%|\bper ?cent", re.IGNORECASE)),
)

# Up to three words behind a number, up to the next number or small word: "woollen hats".
_THING = re.compile(f"(?:{WORD_BEHIND}){{1,3}}", re.IGNORECASE)


def compute(writing: Writing, sampling: Sampling, read_sum: ReadSum | None = None) -> None:
    """Let the model write a sum; where it does not hold, the likeliest one of its own that does.

    What it computes first is often of whatever numbers stand near, while the right sum is among those that it
    thinks likely too. Where none of them holds the draft has the first one, to be refused. With a sum
    reader, one that holds is also held against what that makes of question and texts, and where they
    disagree the likeliest for both is looked for.
    """
    draft, before = writing.draft, writing.draft.attempt
    _hear(writing.turn(sampling))
    first, texts = draft.attempt, draft.texts_of(draft.read)
    results = read_sum(Problem.of(draft.query, "\n".join(texts))) if read_sum else ()
    if _may_stand(draft) and (
        not results or is_likeliest(results, _calculations(draft.tool_calls)[-1].output)
    ):
        return
    draft.go_back_to(before)
    likely = writing.likeliest_sums(known_numbers(draft.query, texts), most_steps=MOST_STEPS)
    if found := _likeliest_that_holds(draft.query, texts, likely, results):
        try:
            _hear(writing.turn(replace(sampling, reasoning=False), given=found))
        except PromptTooLong:  # by what it found meanwhile
            draft.go_back_to(first)
        if _may_stand(draft):
            return
    draft.go_back_to(first)


def _may_stand(draft: Draft) -> bool:
    return is_computed(draft) and not measures_another(draft.query, draft.text)


def _hear(turn: Iterable[object]) -> None:
    for _ in turn:
        pass


def _likeliest_that_holds(
    question: str, texts: Sequence[str], sums: Iterator[LikelySum], results: Results = ()
) -> str | None:
    """Return the likeliest sum that holds, if its result is likely enough; else None.

    Sums of one result count together: 2*40+3*85 and 3*85+2*40. Where the question counts something, which
    says much about its sum, the result must be likelier than all others that hold; else it must be likely, to
    the model or to the sum reader.
    """
    shares: dict[str, float] = {}
    weights: dict[str, float] = {}
    first: dict[str, str] = {}
    for each in sums:
        if result := _result_that_holds(question, each.text, texts):
            shares[result] = shares.get(result, 0.0) + exp(each.log_probability)
            weights[result] = weights.get(result, 0.0) + weight_of(results, each, result)
            first.setdefault(result, each.text)
    best = max(weights, key=weights.__getitem__, default="")
    if not best:
        return None
    if counts_in(question):
        enough = weights[best] >= sum(weights.values()) / 2
    else:
        enough = shares[best] >= _LEAST_SHARE or share_of(results, Fraction(best)) >= _SURE
    return first[best] if enough else None


def weight_of(results: Results, likely: LikelySum, result: str) -> float:
    """Return how likely a sum of the model is, and if a sum reader has read, how likely for both."""
    weight = exp(likely.log_probability)
    return weight * (share_of(results, Fraction(result)) + _UNREAD) if results else weight


def is_likeliest(results: Results, output: str) -> bool:
    """Tell whether the sum reader thinks so too; to it no difference is below nothing."""
    return output[-1:].isdigit() and same(results[0][0], Fraction(output))


def _result_that_holds(question: str, text: str, texts: Sequence[str]) -> str | None:
    try:
        result = calculate(text).result
    except CalculationError:
        return None
    return result if computed_from(question, (ToolCall("calculate", text, result),), texts) else None


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
        counts <= used_numbers(sums) <= known_numbers(question, texts, sums)
        and holds_together(computed, question, texts)
        and _speaks_of_all(question, used_numbers(sums), texts)
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


def _calculations(calls: Sequence[ToolCall]) -> list[ToolCall]:
    """Leave out searches, and what could not be computed: the model read why, and may have mended it."""
    return [call for call in calls if call.tool == "calculate" and call.output[-1:].isdigit()]


def used_numbers(sums: Sequence[ToolCall]) -> frozenset[str]:
    """Return the numbers that sums are made of."""
    return numbers_in(_SIGNS.sub(" ", " ".join(call.input for call in sums)))


def known_numbers(question: str, texts: Sequence[str] = (), sums: Sequence[ToolCall] = ()) -> frozenset[str]:
    """Return the numbers that a sum may be made of: those that stand somewhere, or came out before."""
    said = [question, *texts, *(call.output for call in sums[:-1])]
    told = frozenset().union(*(numbers_in(text) | number_words_in(text) for text in said))
    return told | {number for number, form in _CONSTANTS if form.search(question)}
