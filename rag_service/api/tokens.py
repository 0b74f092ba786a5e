"""`/v1/tokens`: how the chat model's template renders a conversation."""

from fastapi import APIRouter

from corpus.errors import Conflict
from rag_service.api import errors
from rag_service.api.answering import message_of
from rag_service.api.dependencies import ServiceDep, require
from rag_service.api.errors import KINDS
from rag_service.api.openapi import problems
from rag_service.api.schemas.tokens import TokenOut, TokensIn, TokensOut

router = APIRouter(prefix="/v1/tokens", tags=["answers"], dependencies=[require("query")])


@router.post(
    "",
    summary="Show a conversation as tokens",
    responses=problems(errors.MALFORMED, KINDS[Conflict], errors.TOO_LARGE, errors.INVALID, errors.NOT_READY),
)
def show_tokens(conversation: TokensIn, service: ServiceDep) -> TokensOut:
    """Return text, id, role and training mask of each token; the words of users never are control tokens."""
    model = service.chat_model.get()
    template = getattr(model, "template", None)  # of models in this process alone
    if template is None:
        raise Conflict(f"{model.name} runs on another server, which keeps its template and vocabulary.")
    messages = [message_of(turn.role, turn.content) for turn in conversation.messages]
    rendered = template.render(messages, add_generation_prompt=messages[-1].role != "assistant")
    stream = template.vocabulary.text_stream()
    rows = zip(rendered.ids, rendered.roles, rendered.loss_mask, strict=True)
    return TokensOut(
        model=model.name,
        tokens=[
            TokenOut(id=number, text=stream.feed(number), role=role, trained=trained)
            for number, role, trained in rows
        ],
    )
