"""The tool loop, on a model that says what it is told to."""

import pytest

from rag_service.answering.chat_model import Sampling
from rag_service.answering.conversation import Part, user
from rag_service.answering.markers import Call, Delta
from rag_service.answering.tools import MAX_CALLS, NOT_CLOSED, TOO_MANY, ToolCall, ToolLoop
from rag_service.retrieval.passages import Passage
from tests.fakes import FakeChatModel
from tests.passages import passage

WATER = passage(1, "The tank holds 900 litres.")
FUEL = passage(2, "Each burns 14 litres an hour.")


def run(
    calls: list[Delta | Call],
    search: dict[str, list[Passage]] | None = None,
    passages: list[Passage] | None = None,
) -> tuple[ToolLoop, list[Delta | ToolCall], list[Part]]:
    """Let a model say the calls one after the other, each in a piece of its own, then an end."""
    heard: list[Part] = []
    script = list(calls)

    def speaker(_messages: object, parts: list[Part]) -> list[Delta | Call]:
        heard[:] = parts
        return [script.pop(0)] if script else []

    find = None if search is None else lambda query: tuple(search.get(query, []))
    loop = ToolLoop(find, passages or [])
    with FakeChatModel(speaker).begin([user("How much?")]) as turn:
        events = list(loop.run(turn, Sampling()))
    return loop, events, heard


def test_a_search_puts_passages_into_the_turn() -> None:
    """The model reads them, and they are numbered behind those that it had."""
    loop, events, heard = run([Call("search", " fuel ")], {"fuel": [FUEL]}, passages=[WATER])
    assert events == [ToolCall("search", "fuel", FUEL.document_title)]
    assert heard[0].type == "search_result"
    assert [each.text for each in heard[0].passages] == [FUEL.text]
    assert loop.passages == [WATER, FUEL]


def test_what_the_model_has_is_not_given_again() -> None:
    """A search that finds only what is there already finds nothing."""
    loop, events, _ = run([Call("search", "water")], {"water": [WATER]}, passages=[WATER])
    assert events == [ToolCall("search", "water", "Nothing was found.")]
    assert loop.passages == [WATER]


def test_a_calculation_is_exact() -> None:
    """The result stands behind the call."""
    _, events, heard = run([Call("calculate", "0.1+0.2")])
    assert events == [ToolCall("calculate", "0.1+0.2", "0.3")]
    assert heard == [Part("calculate_result", "0.3")]


@pytest.mark.parametrize("expression", ["9**9**9**9", "().__class__", "1/0", "", "two plus two"])
def test_a_bad_calculation_gets_its_reason(expression: str) -> None:
    """The model may go on with it; nothing is raised."""
    _, events, heard = run([Call("calculate", expression)])
    assert isinstance(events[0], ToolCall)
    assert heard == [Part("calculate_result", events[0].output)]
    assert events[0].output


@pytest.mark.parametrize(
    ("queries", "reason"),
    [
        (["  "], "The search was empty."),
        (["fuel", "FUEL"], "This was searched for before."),
        (["a", "b", "c", "d"], "No more than 3 searches are made for one answer."),
    ],
)
def test_searches_in_vain_are_broken_off_with_a_reason(queries: list[str], reason: str) -> None:
    """Empty ones, the same one again, and too many."""
    _, events, heard = run([Call("search", query) for query in queries], {})
    assert isinstance(events[-1], ToolCall)
    assert events[-1].output == reason
    assert heard[-1] == Part("calculate_result", reason)


def test_without_retrieval_a_search_is_declined() -> None:
    """`retrieval.mode: never` holds whatever the model asks for."""
    _, events, _ = run([Call("search", "fuel")])
    assert events == [ToolCall("search", "fuel", "Searching is off for this question.")]


def test_a_call_that_is_not_closed_ends_the_turn() -> None:
    """It is told, not carried out."""
    _, events, heard = run(
        [Call("search", "fuel", closed=False), Delta("text", "never said")], {"fuel": [FUEL]}
    )
    assert events == [ToolCall("search", "fuel", NOT_CLOSED)]
    assert heard == []


def test_a_model_that_only_calls_is_stopped() -> None:
    """Twelve calls, then the end."""
    loop, events, _ = run([Call("calculate", "1+1")] * 30)
    assert len(events) == MAX_CALLS + 1
    assert loop.calls[-1].output == TOO_MANY


def test_text_around_a_call_comes_through() -> None:
    """Before it and after it."""
    _, events, _ = run([Delta("text", "Let me see. ")])
    assert events == [Delta("text", "Let me see. ")]


def test_the_limit_of_tokens_counts_over_all_pieces() -> None:
    """Calls do not win a model more room."""

    def speaker(_messages: object, _parts: object) -> list[Delta | Call]:
        return [Delta("text", "a"), Call("calculate", "1")]

    loop = ToolLoop(None)
    with FakeChatModel(speaker).begin([user("x")]) as turn:
        events = list(loop.run(turn, Sampling(max_tokens=5)))
    assert len(events) == 5
    assert loop.end == "length"
