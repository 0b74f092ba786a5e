"""One turn of a chat model over given passages, as the service would open it."""

from collections.abc import Sequence
from dataclasses import dataclass

from rag_service.answering.chat_model import ChatModel, Sampling
from rag_service.answering.conversation import Message, Part, SourcePassage, user
from rag_service.answering.markers import Call, Delta
from rag_service.answering.template import passages_text


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: visible text, whether it is marked as a refusal, the first tool it asked for."""

    text: str
    refused: bool = False
    call: Call | None = None


def grounded_prompt(
    messages: Sequence[Message], passages: Sequence[SourcePassage], *, trained: bool
) -> tuple[list[Message], list[Part]]:
    """Return turns and the parts that open the assistant's: a search and its result if it knows these.

    A model that does not know the markers finds the passages above the question.
    """
    if trained:
        found = Part("search_result", passages=tuple(passages))
        return list(messages), [Part("search", messages[-1].text), found]
    return [*messages[:-1], user(f"{passages_text(passages)}\n\n{messages[-1].text}")], []


def ask(
    model: ChatModel,
    messages: Sequence[Message],
    passages: Sequence[SourcePassage] = (),
    *,
    sampling: Sampling,
) -> Written:
    """Let the model write one turn, up to its end or its first call."""
    opening: list[Part] = []
    if passages:
        messages, opening = grounded_prompt(messages, passages, trained=model.skill == "trained")
    with model.begin(messages) as turn:
        turn.append(*opening)
        items = list(turn.generate(sampling))
    said = [item for item in items if isinstance(item, Delta) and item.kind != "reasoning"]
    calls = [item for item in items if isinstance(item, Call)]
    return Written(
        text="".join(item.text for item in said).strip(),
        refused=any(item.kind == "refusal" for item in said),
        call=calls[0] if calls else None,
    )
