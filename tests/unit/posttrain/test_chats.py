"""Chat formats become conversations in turn."""

from posttrain.data.chats import import_feedback, import_instructions, import_messages, import_oasst1
from posttrain.data.files import Json
from posttrain.data.reading import Source
from rag_service.answering.conversation import Meta, Record, assistant, user

ULTRACHAT = Source("UltraChat", "MIT")


def test_messages_and_sharegpt_rows_are_the_same_conversation() -> None:
    """Both names of roles and fields are read."""
    rows: list[dict[str, Json]] = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    ]
    first, second = import_messages(rows, ULTRACHAT)
    assert first.messages == second.messages


def test_conversations_out_of_turn_or_with_other_roles_are_left_out() -> None:
    """Tool roles and two user turns in a row can not be rendered and are dropped whole."""
    rows: list[dict[str, Json]] = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "tool", "content": "{}"}]},
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": "?"}]},
        {"messages": []},
    ]
    assert not list(import_messages(rows, ULTRACHAT))


def test_oasst1_follows_the_best_reply_and_ends_with_the_assistant() -> None:
    """Of two replies the one of the lower rank is taken; a last prompt without reply is cut."""
    rows: list[dict[str, Json]] = [
        {"message_id": "a", "parent_id": None, "role": "prompter", "text": "Why?", "lang": "en"},
        {"message_id": "b", "parent_id": "a", "role": "assistant", "text": "Bad", "rank": 1, "lang": "en"},
        {"message_id": "c", "parent_id": "a", "role": "assistant", "text": "Good", "rank": 0, "lang": "en"},
        {"message_id": "d", "parent_id": "c", "role": "prompter", "text": "Thanks", "lang": "en"},
        {"message_id": "e", "parent_id": None, "role": "prompter", "text": "¿Qué?", "lang": "es"},
    ]
    (record,) = import_oasst1(rows)
    assert [message.text for message in record.messages] == ["Why?", "Good"]


def test_instructions_with_a_context_are_left_to_the_reading_importer() -> None:
    """A chat record has no passage."""
    rows: list[dict[str, Json]] = [
        {"instruction": "Name a colour.", "context": "", "response": "Blue."},
        {"instruction": "Who?", "context": "A text.", "response": "She."},
    ]
    (record,) = import_instructions(rows)
    assert record.messages[1].text == "Blue."


def test_feedback_gets_its_licence_and_a_question_stays_on_one_side() -> None:
    """Two readers corrected answers to the same question: both records are of the same split."""
    records = [
        Record(
            f"fbk_{n}_{other}",
            "rag_answer",
            "train",
            (user(f"Who keeps pump {n}?"), assistant("Orson.")),
            Meta(("Orson.",), answerable=True, source="feedback"),
        )
        for n in range(40)
        for other in range(2)
    ]
    made = list(import_feedback(records, Source("ignored", "ours")))
    assert {(each.meta.source, each.meta.license) for each in made} == {("feedback", "ours")}
    assert [each.split for each in made[::2]] == [each.split for each in made[1::2]]
    assert {each.split for each in made} == {"train", "dev"}
