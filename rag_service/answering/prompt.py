"""What the model is asked: who it is, the passages that fit its context, the conversation."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from rag_service.answering.chat_model import ChatModel
from rag_service.answering.conversation import Message, Part, SourcePassage, assistant, system, user
from rag_service.answering.markers import Marker
from rag_service.answering.template import passages_text
from rag_service.retrieval.passages import Passage

IDENTITY = "You are the RAG service's answerer, a small language model that answers questions from documents."
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


def system_text(
    today: date, collection_description: str = "", *, search: bool | None = None, identity: str = ""
) -> str:
    """Return the system message, which is always there: a model without one claims to be another.

    `identity` takes the place of `IDENTITY`.

    A trained model is told whether it may search: where it may, it does so before it says that it does
    not know.
    """
    lines = [identity or IDENTITY, f"Today is {today.isoformat()}."]
    if search is not None:
        lines.append("You can search them." if search else "Searching is off.")
    if collection_description:
        lines.append(f"The documents: {collection_description}")
    return " ".join(lines)


def tool_text(*, search: bool, reasoning: bool) -> str:
    """Tell a model that follows instructions how to call the tools; a trained one knows."""
    lines = [f"To compute, write {Marker.CALC_START}expression{Marker.CALC_END}; you then read the result."]
    if search:
        lines.append(
            f"To search the documents, write {Marker.SEARCH_START}query{Marker.SEARCH_END}; "
            "you then read numbered passages."
        )
    if reasoning:
        lines.append(f"First write your steps between {Marker.THINK_START} and {Marker.THINK_END}.")
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

    Earlier turns are left out where they leave no room for a passage. A trained model gets passages as the
    result of a search in its own turn, as in its training; a model that follows instructions reads them in
    the user's turn.
    """
    conversation = _recent(model, messages)
    free = model.context_length - model.count_tokens(opening) - max_tokens - _RESERVE
    packed = _pack(model, passages, free - _length(model, conversation))
    if passages and not packed:
        conversation = conversation[-1:]
        packed = _pack(model, passages, free - _length(model, conversation))
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


def build_steps_prompt(prompt: Prompt) -> tuple[Message, ...]:
    """Ask an untrained model for the steps to the answer that another prompt asks for."""
    first, last = prompt.messages[0], prompt.messages[-1]
    return (first, user(f"{last.text}\n\nThink step by step: which facts lead to the answer?"))


def _facts_text(facts: Sequence[str], question: str) -> str:
    lines = "\n".join(f"- {' '.join(fact.split())}" for fact in facts)
    return f"Facts:\n{lines}\n\nQuestion: {question}"


def _recent(model: ChatModel, messages: Sequence[Message]) -> tuple[Message, ...]:
    """Return the question and as many turns before it as fit half of the context, a user's turn first."""
    turns = [message for message in messages if message.role != "system"]
    first, room = len(turns) - 1, model.context_length // 2 - model.count_tokens(turns[-1].text)
    for place in range(len(turns) - 2, max(-1, len(turns) - 2 - 2 * _HISTORY_TURNS), -1):
        room -= model.count_tokens(turns[place].text)
        if room < 0:
            break
        if turns[place].role == "user":
            first = place
    return tuple(turns[first:])


def _length(model: ChatModel, messages: Sequence[Message]) -> int:
    return sum(model.count_tokens(message.text) for message in messages)


def _pack(model: ChatModel, passages: Sequence[Passage], room: int) -> tuple[Passage, ...]:
    """Take passages in order of rank while they fit; a long one is passed over for shorter ones."""
    taken: list[Passage] = []
    room = min(room, _PASSAGE_TOKENS)
    for passage in passages:
        cost = model.count_tokens(passages_text([_source(passage)])) + 4
        if cost <= room:
            taken.append(passage)
            room -= cost
    return tuple(taken)


def _source(passage: Passage) -> SourcePassage:
    return SourcePassage(id=str(passage.chunk_id), text=passage.text, title=passage.full_title)
