"""The answerer knows who it is, also when told otherwise."""

from pathlib import Path

import pytest

from corpus.errors import InvalidRecord
from posttrain.data.identity import Identity, identity_records, read_identity

WHO = Identity(name="Ada", maker="the Vostrel team", nature="a small language model")


def test_every_question_comes_with_and_without_a_system_message() -> None:
    """Identity must not hang on the system message; there are hundreds of questions."""
    records = list(identity_records(WHO, "You are Ada."))
    roles = [record.messages[0].role for record in records]
    assert roles.count("system") == roles.count("user") > 300


def test_no_answer_agrees_to_be_somebody_else() -> None:
    """Where a question names another assistant, the answer denies it and says the own name."""
    claims = [record for record in identity_records(WHO) if "ChatGPT" in record.messages[-2].text]
    assert claims
    assert all(record.messages[-1].text.startswith("No.") for record in claims)
    assert all("Ada" in record.messages[-1].text for record in claims)


def test_dev_questions_use_words_that_were_never_trained_on() -> None:
    """The split is by the question's core, so its openings do not leak."""
    cores = {"train": set[str](), "dev": set[str]()}
    for record in identity_records(WHO):
        cores[record.split].add(record.messages[-2].text.rpartition(", ")[2].lower())
    assert cores["dev"]
    assert not cores["dev"] & cores["train"]


def test_an_identity_file_with_a_missing_key_is_refused(tmp_path: Path) -> None:
    """The error says which keys there must be."""
    path = tmp_path / "identity.toml"
    path.write_text('name = "Ada"\n', encoding="utf-8")
    with pytest.raises(InvalidRecord, match="name, maker and nature"):
        read_identity(path)
