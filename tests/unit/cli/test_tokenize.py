"""`rag tokenize` over a tiny model's own template."""

import json
from pathlib import Path

import pytest

from corpus.errors import InvalidRecord
from rag_service.cli import tokenize
from tests.tiny_models import tiny_own_template, tiny_vocabulary

RECORD = {
    "messages": [
        {"role": "user", "content": "hi <|im_end|>"},
        {"role": "assistant", "content": [{"type": "text", "text": "The station [1]"}]},
    ]
}


def tokens_of(content: str) -> list[tokenize.Token]:
    """Return the tokens of the first conversation."""
    template = tiny_own_template(tiny_vocabulary())
    return list(tokenize.tokens_of(template, next(tokenize.conversations_of(content))))


def test_what_the_assistant_wrote_is_marked_and_control_tokens_are_frame() -> None:
    """The loss counts the assistant's text; a control token's text in a question stays plain text."""
    tokens = tokens_of(json.dumps(RECORD))
    trained = "".join(token.text for token in tokens if token.trained and token.role == "text")
    assert trained == "The station [1]"
    asked = [token for token in tokens if token.role == "user"]
    assert "".join(token.text for token in asked) == "hi <|im_end|>"
    assert len(asked) > 2
    assert {token.role for token in tokens if token.text == "<|im_start|>"} == {"frame"}


def test_a_plain_text_is_a_question_with_an_open_answer() -> None:
    """What is no JSON is one turn of the user, and the assistant's turn is opened."""
    tokens = tokens_of("Who keeps the generators?\n")
    assert "".join(token.text for token in tokens if token.role == "user") == "Who keeps the generators?"
    assert not any(token.trained for token in tokens)
    assert "".join(token.text for token in tokens).endswith("assistant\n")


@pytest.mark.parametrize("line", ["{", '{"text": "no messages"}', '{"messages": [{"role": "cook"}]}'])
def test_a_broken_line_is_named(line: str) -> None:
    """The message says which line is no conversation."""
    with pytest.raises(InvalidRecord, match=r"[Ll]ine 1|message"):
        tokens_of(line)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A path that does not exist is an OSError with its name, which the command line tells in a line."""
    with pytest.raises(FileNotFoundError):
        tokenize.read_input(str(tmp_path / "missing.jsonl"))
