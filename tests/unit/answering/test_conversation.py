"""The conversation record: one JSON object a line, read strictly."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import InvalidRecord
from rag_service.answering.conversation import (
    Meta,
    Part,
    Record,
    SourcePassage,
    assistant,
    message_from_dict,
    record_from_json,
    record_to_json,
    system,
    user,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
passages = st.lists(st.builds(SourcePassage, text, text, text), max_size=3).map(tuple)
parts = st.one_of(
    st.builds(
        Part,
        st.sampled_from(["text", "search", "calculate", "calculate_result", "reasoning", "refusal"]),
        text,
    ),
    st.builds(Part, st.just("search_result"), st.just(""), passages),
)
exchanges = st.lists(st.tuples(text, st.lists(parts, max_size=4)), min_size=1, max_size=3)
metas = st.builds(
    Meta,
    st.lists(text, max_size=2).map(tuple),
    st.sampled_from([None, True, False]),
    st.lists(text, max_size=2).map(tuple),
    text,
    text,
)

LINE = {
    "id": "r1",
    "task": "rag_answer",
    "split": "train",
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "How old?"},
        {
            "role": "assistant",
            "content": [
                {"type": "search", "text": "age"},
                {"type": "search_result", "passages": [{"id": "d1", "text": "Nine."}]},
                {"type": "calculate", "text": "13-4"},
                {"type": "calculate_result", "text": "9"},
                {"type": "text", "text": "Nine. [1]"},
            ],
        },
    ],
    "meta": {"gold": ["9"], "answerable": True, "gold_passages": ["d1"], "source": "x", "license": "MIT"},
}


@given(exchanges, metas)
def test_a_record_survives_the_way_to_json_and_back(turns: list[tuple[str, list[Part]]], meta: Meta) -> None:
    """What is written is what is read, for any text."""
    messages = [system("You are careful.")]
    for question, answer in turns:
        messages += [user(question), assistant(*answer)]
    record = Record("1", "rag_answer", "dev", tuple(messages), meta)
    line = record_to_json(record)
    assert "\n" not in line
    assert record_from_json(line) == record


def test_the_documented_record_is_read_in_full() -> None:
    """Every field of the documented form arrives, and is written back the same."""
    record = record_from_json(json.dumps(LINE))
    assert record.meta == Meta(("9",), True, ("d1",), "x", "MIT")  # noqa: FBT003 - the record's own field
    assert [part.type for part in record.messages[2].parts] == [
        "search",
        "search_result",
        "calculate",
        "calculate_result",
        "text",
    ]
    assert record.messages[2].parts[1].passages == (SourcePassage("d1", "Nine."),)
    assert json.loads(record_to_json(record)) == LINE


def test_an_assistants_plain_string_is_one_text_part() -> None:
    """Chat histories carry strings; they mean the same as one text part."""
    assert message_from_dict({"role": "assistant", "content": "Hello"}) == assistant("Hello")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"extra": 1}, "unknown fields: extra"),
        ({"id": 7}, "id must be a string"),
        ({"task": "poem"}, "task must be one of"),
        ({"split": None}, "split must be one of"),
        ({"messages": {}}, "messages must be a list"),
        ({"messages": []}, "at least one user turn"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "must be by user"),
        ({"messages": [{"role": "user", "content": []}]}, "must be a string"),
        ({"messages": [{"role": "user"}]}, r"messages\[0\] lacks content"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}, "by system"),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "assistant", "content": [{"type": "song", "text": "b"}]},
                ]
            },
            r"messages\[1\].content\[0\].type must be one of",
        ),
        ({"meta": {"answerable": "yes"}}, "meta.answerable"),
        ({"meta": {"gold": [1]}}, r"meta.gold\[0\]"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(change: dict[str, object], complaint: str) -> None:
    """A slip in training data stops at its line and names the field."""
    with pytest.raises(InvalidRecord, match=complaint):
        record_from_json(json.dumps(LINE | change))


def test_broken_json_is_refused() -> None:
    """Half a line is told apart from a wrong field."""
    with pytest.raises(InvalidRecord, match="no JSON"):
        record_from_json('{"id": ')


def test_results_are_not_written_by_the_model() -> None:
    """What the service puts into the turn is nothing to train on."""
    assert [Part(kind).written_by_model for kind in ("text", "search", "search_result")] == [
        True,
        True,
        False,
    ]


def test_the_readers_text_leaves_tool_parts_out() -> None:
    """Searches, results and reasoning are no part of the visible answer."""
    turn = assistant(Part("reasoning", "hm"), Part("search", "x"), "Nine", Part("calculate_result", "9"))
    assert turn.text == "Nine"
