"""Conversations as token ids."""

from pydantic import Field

from rag_service.api.schemas.answers import MAX_MESSAGES, MessageIn
from rag_service.api.schemas.common import RequestModel, ResponseModel


class TokensIn(RequestModel):
    """A conversation to be looked at as the chat model sees it."""

    messages: list[MessageIn] = Field(
        min_length=1,
        max_length=MAX_MESSAGES,
        description="Its turns; after one that is not the assistant's, the assistant's turn is opened.",
    )


class TokenOut(ResponseModel):
    """One token."""

    id: int = Field(description="Its number in the vocabulary.", examples=[198])
    text: str = Field(
        description="What it adds to the text; empty within a character.", examples=[" generators"]
    )
    role: str = Field(
        description="Whose it is: `frame`, `system`, `user`, or a part of the assistant's turn.",
        examples=["user"],
    )
    trained: bool = Field(description="Whether training counts it.")


class TokensOut(ResponseModel):
    """A conversation as the chat model sees it."""

    model: str = Field(description="The chat model.", examples=["SmolLM2-135M-Instruct"])
    tokens: list[TokenOut] = Field(description="In order.")
