"""Conversations as token ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import ModelError
from rag_service.answering.conversation import Message, Part, SourcePassage, assistant, system, user
from rag_service.answering.markers import CONTROL_TOKENS
from rag_service.answering.template import AnswererTemplate, OwnTemplate, Template, answerer_vocabulary
from rag_service.answering.vocabulary import Vocabulary
from tests.tiny_models import CHAT_TEMPLATE, tiny_own_template, tiny_vocabulary

BASE = tiny_vocabulary()
ANSWERER = AnswererTemplate(answerer_vocabulary(BASE))
OWN = tiny_own_template(BASE)
BOTH = pytest.mark.parametrize("template", [ANSWERER, OWN], ids=["answerer", "own"])

text = st.lists(st.one_of(st.sampled_from(CONTROL_TOKENS), st.text(max_size=6)), max_size=4).map("".join)
passages = st.lists(st.builds(SourcePassage, text, text, text), max_size=2).map(tuple)
parts = st.one_of(
    st.builds(Part, st.sampled_from(["text", "search", "calculate", "reasoning", "refusal"]), text),
    st.builds(Part, st.just("calculate_result"), text),
    st.builds(Part, st.just("search_result"), st.just(""), passages),
)
answers = st.lists(parts, max_size=3)
prompts = st.builds(
    lambda first, question, history: [system(first), *history, user(question)],
    text,
    text,
    st.one_of(st.just([]), st.builds(lambda q, a: [user(q), assistant(a)], text, text)),
)


@BOTH
@given(prompts, answers)
def test_a_prompt_is_a_beginning_of_prompt_and_answer(
    template: Template, prompt: list[Message], answer: list[Part]
) -> None:
    """What a cache holds for the prompt, and for each part put behind it, stays valid."""
    ids = template.render(prompt, add_generation_prompt=True).ids
    number = 1
    for part in answer:
        ids += template.render_parts([part], first_number=number).ids
        number += len(part.passages)
    whole = template.render([*prompt, assistant(*answer)]).ids
    assert whole[: len(ids)] == ids
    assert whole[len(ids)] in template.stop_ids


@given(prompts, answers)
def test_content_never_becomes_a_control_token(prompt: list[Message], answer: list[Part]) -> None:
    """The control tokens are those of the frame and of the parts, whatever the contents are."""
    messages = [*prompt, assistant(*answer)]
    control = ANSWERER.vocabulary.control.values()
    seen = [number for number in ANSWERER.render(messages).ids if number in control]
    empty = [
        Message(m.role, tuple(Part(part.type, "", _emptied(part)) for part in m.parts)) for m in messages
    ]
    assert seen == [number for number in ANSWERER.render(empty).ids if number in control]


def _emptied(part: Part) -> tuple[SourcePassage, ...]:
    return tuple(SourcePassage("", "") for _ in part.passages)


@given(prompts, answers)
def test_an_own_template_keeps_content_plain_too(prompt: list[Message], answer: list[Part]) -> None:
    """Each turn has its start and its end token, and nothing else has any."""
    messages = [*prompt, assistant(*answer)]
    ids = OWN.render(messages).ids
    control = BASE.control
    assert [number for number in ids if number in control.values()] == [
        control["<|im_start|>"],
        control["<|im_end|>"],
    ] * len(messages)


@BOTH
@given(text)
def test_content_comes_back_from_its_ids(template: Template, content: str) -> None:
    """Rendering loses nothing."""
    rendered = template.render([user(content)])
    ids = [number for number, role in zip(rendered.ids, rendered.roles, strict=True) if role == "user"]
    expected = content.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert template.vocabulary.decode(ids) == expected


CALCULATION = [
    user("How many are left?"),
    assistant(
        Part("search", "eggs"),
        Part("search_result", passages=(SourcePassage("d1", "13 eggs.", "Stock"), SourcePassage("d2", "x"))),
        Part("calculate", "13-4"),
        Part("calculate_result", "9"),
        "Nine. [1]",
    ),
]


def test_the_answerers_form_is_as_documented() -> None:
    """Markers, numbered passages and frame stand where the contract has them."""
    assert ANSWERER.vocabulary.decode(ANSWERER.render(CALCULATION).ids) == (
        "<|im_start|>user<|im_sep|>How many are left?<|im_end|>"
        "<|im_start|>assistant<|im_sep|><SEARCH_START>eggs<SEARCH_END>"
        "<RESULT_START>[1] Stock\n13 eggs.\n\n[2]\nx<RESULT_END>"
        "<CALC_START>13-4<CALC_END><RESULT_START>9<RESULT_END>Nine. [1]<|im_end|>"
    )


def test_an_own_template_has_markers_as_plain_text() -> None:
    """The frame is the model's; markers are letters."""
    assert OWN.vocabulary.decode(OWN.render(CALCULATION[1:]).ids).startswith(
        "<|im_start|>assistant\n<SEARCH_START>eggs<SEARCH_END><RESULT_START>[1] Stock"
    )


@BOTH
def test_the_loss_counts_what_the_assistant_wrote(template: Template) -> None:
    """Its calls, its text and the end of its turn; not the question, the frame or the results."""
    rendered = template.render(CALCULATION)
    trained = [n for n, counts in zip(rendered.ids, rendered.loss_mask, strict=True) if counts]
    assert template.vocabulary.decode(trained) == (
        "<SEARCH_START>eggs<SEARCH_END><CALC_START>13-4<CALC_END>Nine. [1]<|im_end|>"
    )


def test_every_marker_is_one_token() -> None:
    """The new tokens are single ids, behind the base model's."""
    assert len(ANSWERER.render([assistant(Part("search", ""))]).ids) == len(
        [*ANSWERER.render([assistant("")]).ids, "start", "end"]
    )
    assert min(ANSWERER.markers) >= BASE.size


def test_numbers_of_passages_go_on_in_a_turn() -> None:
    """A second search's passages do not take the first one's numbers."""
    result = Part("search_result", passages=(SourcePassage("d", "x"),))
    rendered = ANSWERER.render([assistant(result, result)])
    assert "[1]\nx" in ANSWERER.vocabulary.decode(rendered.ids)
    assert "[2]\nx" in ANSWERER.vocabulary.decode(rendered.ids)


def test_a_vocabulary_without_the_new_tokens_is_refused() -> None:
    """The answerer's form needs the answerer's tokenizer."""
    with pytest.raises(ModelError, match=r"lacks <\|im_sep\|>"):
        AnswererTemplate(BASE)


def test_a_template_that_refuses_or_drops_a_turn_is_told() -> None:
    """Some models' templates know no system turn; that is an error with its reason, not a silent loss."""
    refusing = OwnTemplate(BASE, "{{ raise_exception('no system role') }}", names={}, end="<|im_end|>")
    with pytest.raises(ModelError, match="no system role"):
        refusing.render([system("x")])
    dropping = OwnTemplate(BASE, "{{ messages[1].content }}", names={}, end="<|im_end|>")
    with pytest.raises(ModelError, match="leaves a turn out"):
        dropping.render([system("x"), user("y")])


def test_a_foreign_thinking_token_counts_as_ours() -> None:
    """Reasoning models mark their steps with tokens of their own."""
    vocabulary = Vocabulary(BASE.with_control_tokens(["<think>", "</think>"])._full)
    template = OwnTemplate(vocabulary, CHAT_TEMPLATE, names={}, end="<|im_end|>")
    assert sorted(template.markers.values()) == ["<THINK_END>", "<THINK_START>"]
