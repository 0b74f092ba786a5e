"""What the model is asked."""

from datetime import date

from rag_service.answering.conversation import Message, Part, SourcePassage, assistant, system, user
from rag_service.answering.prompt import (
    build_facts_prompt,
    build_prompt,
    build_steps_prompt,
    system_text,
    tool_text,
)
from tests.fakes import FakeChatModel
from tests.passages import passage

SHORT = passage(1, "Each burns 14 litres an hour.")
LONG = passage(2, "word " * 2000)
OTHER = passage(3, "The café opens at six.")
OPENING = "You are an answerer."


def build(
    model: FakeChatModel, messages: list[Message], *passages: object
) -> tuple[tuple[Message, ...], tuple[Part, ...], list[int]]:
    """Return messages, opening parts and the chunk ids in the context."""
    prompt = build_prompt(model, messages, passages, query="the query", max_tokens=50, opening=OPENING)  # type: ignore[arg-type]
    return prompt.messages, prompt.opening, [each.chunk_id for each in prompt.in_context]


def test_a_trained_model_reads_passages_as_the_result_of_a_search() -> None:
    """As in its training: the question alone, then a search and its result in the model's own turn."""
    messages, opening, read = build(FakeChatModel(), [user("How much?")], SHORT, OTHER)
    assert messages == (system(OPENING), user("How much?"))
    assert opening == (
        Part("search", "the query"),
        Part(
            "search_result",
            passages=(SourcePassage("1", SHORT.text, "Title"), SourcePassage("3", OTHER.text, "Title")),
        ),
    )
    assert read == [1, 3]


def test_another_model_reads_them_in_the_users_turn() -> None:
    """Numbered, before the question."""
    messages, opening, _ = build(FakeChatModel(skill="instructed"), [user("How much?")], SHORT)
    assert opening == ()
    assert messages[-1].text.startswith("[1] Title\nEach burns 14 litres an hour.\n\n")
    assert messages[-1].text.endswith("Question: How much?")


def test_a_passage_that_does_not_fit_is_passed_over_for_shorter_ones() -> None:
    """The budget is for passages of lower rank too."""
    _, _, read = build(FakeChatModel(), [user("How much?")], LONG, SHORT)
    assert read == [1]


def test_without_passages_the_conversation_is_all() -> None:
    """The model's parameters alone."""
    messages, opening, read = build(FakeChatModel(), [user("How much?")])
    assert (messages, opening, read) == ((system(OPENING), user("How much?")), (), [])


def test_old_turns_give_way_and_a_user_begins() -> None:
    """The latest turns that fit half of the context stay; the question always does."""
    talk = [user("one " * 30), assistant("two " * 30), user("three"), assistant("four"), user("five?")]
    messages, _, _ = build(FakeChatModel(context_length=100), talk)
    assert [message.text for message in messages[1:]] == ["three", "four", "five?"]
    messages, _, _ = build(FakeChatModel(context_length=100), [*talk[:2], user("five? " * 60)])
    assert len(messages) == 2


def test_the_callers_system_message_is_no_turn() -> None:
    """It is part of the opening, which the answer's story writes."""
    messages, _, _ = build(FakeChatModel(), [system("Talk like a pirate."), user("How much?")])
    assert messages == (system(OPENING), user("How much?"))


def test_the_system_message_says_who_it_is_and_when() -> None:
    """Identity, date and what the documents are about."""
    text = system_text(date(2026, 1, 5), "A polar station's handbooks.")
    assert "2026-01-05" in text
    assert text.endswith("The documents: A polar station's handbooks.")
    assert "small language model" in text
    named = system_text(date(2026, 1, 5), identity="You are Ada, the library's guide.")
    assert named == "You are Ada, the library's guide. Today is 2026-01-05."


def test_tools_are_explained_as_far_as_they_may_be_used() -> None:
    """Without retrieval no search is offered."""
    assert "<SEARCH_START>" not in tool_text(search=False, reasoning=False)
    assert "<SEARCH_START>query<SEARCH_END>" in tool_text(search=True, reasoning=False)
    assert "<THINK_START>" in tool_text(search=True, reasoning=True)


def test_an_untrained_model_reads_a_few_facts_after_examples() -> None:
    """What it reads counts as the passages that the facts are from."""
    prompt = build_facts_prompt("How much?", ["Each burns 14\nlitres"], [OTHER, SHORT], OPENING)
    assert prompt.messages[-1].text == "Facts:\n- Each burns 14 litres\n\nQuestion: How much?"
    assert [message.role for message in prompt.messages[1:-1]] == ["user", "assistant"] * 2
    assert prompt.in_context == ()
    prompt = build_facts_prompt("How much?", [SHORT.text], [OTHER, SHORT], OPENING)
    assert prompt.in_context == (SHORT,)
    steps = build_steps_prompt(prompt)
    assert steps[0] == system(OPENING)
    assert "step by step" in steps[-1].text
