"""What the model is asked: who it is, the passages that fit its context, the conversation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from rag_service.answering.chat_model import ChatModel
from rag_service.answering.conversation import Message, Part, SourcePassage, assistant, system, user
from rag_service.answering.template import passages_text
from rag_service.retrieval.passages import Passage

NAME = "the RAG service's answerer"
_PASSAGE_TOKENS = 1000  # of all passages together; a small model loses the thread in longer contexts
_HISTORY_TURNS = 6
_RESERVE = 64  # tokens of markers and frames
_INSTRUCTION = (
    "Answer the question in one short sentence, from the numbered passages alone, and cite them like [1]. "
    "If they do not say it, answer: I do not know."
)
# An untrained model learns the form of an answer from two examples better than from any instruction.
_EXAMPLES = (
    (
        ("The museum opens at nine.", "Anna Berg has led the museum since 2011."),
        "Who leads the museum?",
        "Anna Berg has led the museum since 2011.",
    ),
    (
        ("A ticket costs 12 crowns.", "Children pay half."),
        "What does a ticket cost?",
        "A ticket costs 12 crowns.",
    ),
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """Messages that end with the user's question, and the passages that the model gets to read.

    `opening` are parts to put into the assistant's turn before it writes.
    """

    messages: tuple[Message, ...]
    in_context: tuple[Passage, ...] = ()
    opening: tuple[Part, ...] = ()


def system_text(today: date, collection_description: str = "") -> str:
    """Return the system message, which is always there: a model without one claims to be another."""
    lines = [
        f"You are {NAME}, a small language model that answers questions from documents.",
        f"Today is {today.isoformat()}.",
    ]
    if collection_description:
        lines.append(f"The documents: {collection_description}")
    return " ".join(lines)


def build_prompt(
    model: ChatModel,
    messages: Sequence[Message],
    passages: Sequence[Passage],
    *,
    query: str,
    max_tokens: int,
    opening: str,
) -> Prompt:
    """Put the passages into the context, best first, as many as fit beside the conversation.

    A trained model gets them as the result of a search in its own turn, as in its training; a model that
    follows instructions reads them in the user's turn.
    """
    recent = [*messages[-2 * _HISTORY_TURNS - 1 :]]
    conversation = tuple(message for message in recent if message.role != "system")
    spent = sum(model.count_tokens(message.text) for message in conversation) + model.count_tokens(opening)
    room = min(_PASSAGE_TOKENS, model.context_length - spent - max_tokens - _RESERVE)
    packed = _pack(model, passages, room)
    sources = tuple(_source(passage) for passage in packed)
    if model.skill == "trained":
        parts = (Part("search", query), Part("search_result", passages=sources)) if packed else ()
        return Prompt((system(opening), *conversation), packed, parts)
    if not packed:
        return Prompt((system(opening), *conversation))
    question = conversation[-1].text
    asked = user(f"{passages_text(sources)}\n\n{_INSTRUCTION}\n\nQuestion: {question}")
    return Prompt((system(opening), *conversation[:-1], asked), packed)


def build_facts_prompt(
    question: str, facts: Sequence[str], passages: Sequence[Passage], opening: str
) -> Prompt:
    """Return the prompt for a model that was not trained for this: examples, then a few sentences."""
    shown: list[Message] = [system(opening)]
    for sentences, asked, answer in _EXAMPLES:
        shown += [user(_facts_text(sentences, asked)), assistant(answer)]
    read = tuple(passage for passage in passages if any(fact in passage.text for fact in facts))
    return Prompt((*shown, user(_facts_text(facts, question))), read)


def _facts_text(facts: Sequence[str], question: str) -> str:
    lines = "\n".join(f"- {' '.join(fact.split())}" for fact in facts)
    return f"Facts:\n{lines}\n\nQuestion: {question}"


def _pack(model: ChatModel, passages: Sequence[Passage], room: int) -> tuple[Passage, ...]:
    """Take passages in order of rank while they fit; a long one is passed over for shorter ones."""
    taken: list[Passage] = []
    for passage in passages:
        cost = model.count_tokens(passages_text([_source(passage)])) + 4
        if cost <= room:
            taken.append(passage)
            room -= cost
    return tuple(taken)


def _source(passage: Passage) -> SourcePassage:
    title = " > ".join((passage.document_title, *passage.heading_path))
    return SourcePassage(id=str(passage.chunk_id), text=passage.text, title=title)
