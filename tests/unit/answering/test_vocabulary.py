"""Plain text and control tokens never mix."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from corpus.errors import ModelError
from rag_service.answering.markers import CONTROL_TOKENS
from rag_service.answering.template import answerer_vocabulary
from rag_service.answering.vocabulary import Vocabulary
from tests.tiny_models import SPECIALS, tiny_vocabulary

VOCABULARY = answerer_vocabulary(tiny_vocabulary())
ALL_CONTROL = sorted({*SPECIALS, *CONTROL_TOKENS})
hostile = st.lists(st.one_of(st.sampled_from(ALL_CONTROL), st.text(max_size=4))).map("".join)


@given(hostile)
def test_plain_text_is_never_a_control_token_and_survives(text: str) -> None:
    """Any Unicode text, with control tokens' names in it, comes back as it was, from plain ids alone."""
    ids = VOCABULARY.encode(text)
    assert not set(ids) & set(VOCABULARY.control.values())
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert VOCABULARY.decode(ids) == expected


@pytest.mark.parametrize("token", ALL_CONTROL)
def test_a_control_token_cut_anywhere_stays_plain(token: str) -> None:
    """Not even two contents that meet in the middle of a control token's name make one."""
    for cut in range(len(token) + 1):
        ids = VOCABULARY.encode(token[:cut]) + VOCABULARY.encode(token[cut:])
        assert VOCABULARY.control[token] not in ids


def test_frames_do_have_control_tokens() -> None:
    """The template's own text is read with control tokens."""
    assert VOCABULARY.encode_frame("<|im_end|>") == [VOCABULARY.control["<|im_end|>"]]


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_streamed_text_never_splits_a_character(text: str) -> None:
    """What has been streamed is at all times a true beginning of the whole text."""
    stream, seen = VOCABULARY.text_stream(), ""
    for number in VOCABULARY.encode(text):
        seen += stream.feed(number)
        assert text.startswith(seen)
    assert seen + stream.flush() == text


def test_bytes_that_never_become_a_character_come_out_at_the_end() -> None:
    """A generation may stop inside a character; its remains are shown as U+FFFD, not lost or waited for."""
    stream = VOCABULARY.text_stream()
    ids = VOCABULARY.encode("😀")
    assert [stream.feed(number) for number in ids[:-1]] == [""] * (len(ids) - 1)
    assert set(stream.flush()) == {"\ufffd"}
    assert stream.flush() == ""


def test_new_control_tokens_take_the_next_ids() -> None:
    """Post-training appends rows to the embedding; nothing that was there moves."""
    base = tiny_vocabulary()
    grown = base.with_control_tokens(["<A>", "<B>"])
    assert (grown.control["<A>"], grown.control["<B>"]) == (base.size, base.size + 1)
    assert grown.encode("Each burns") == base.encode("Each burns")


def test_a_tokenizer_that_can_not_keep_them_apart_is_refused() -> None:
    """If the plain vocabulary itself has a control token, the model is not used."""
    tokenizer = Tokenizer(models.WordLevel({"<end>": 0, "[UNK]": 1}, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.add_special_tokens([AddedToken("<end>", special=True, normalized=False)])
    with pytest.raises(ModelError, match="plain text into control tokens"):
        Vocabulary(tokenizer)


def test_added_white_space_stays_plain_text() -> None:
    """Some tokenizers add runs of spaces as tokens; those are no control tokens."""
    tokenizer = Tokenizer.from_str(json.dumps(json.loads(VOCABULARY._full.to_str())))
    tokenizer.add_tokens([AddedToken("    ", normalized=False)])
    vocabulary = Vocabulary(tokenizer)
    assert "    " not in vocabulary.control
    assert vocabulary.decode(vocabulary.encode("a    b")) == "a    b"
