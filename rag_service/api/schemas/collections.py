"""Collections."""

from datetime import datetime
from typing import Self

from pydantic import Field, model_validator

from rag_service.api.schemas.common import Page, RequestModel, ResponseModel, Text


class NewChunking(RequestModel):
    """How documents are cut, where it differs from the embedder's own limits."""

    max_tokens: int | None = Field(
        default=None,
        ge=32,
        le=8192,
        description="Longest piece in tokens; null: the embedder's limit.",
        examples=[128],
    )
    overlap: int | None = Field(
        default=None,
        ge=0,
        le=1024,
        description="Tokens that neighbours share; null: 32, less for short pieces.",
        examples=[16],
    )

    @model_validator(mode="after")
    def _less_overlap_than_text(self) -> Self:
        if self.max_tokens is not None and self.overlap is not None and self.overlap * 2 > self.max_tokens:
            raise ValueError("overlap must be at most half of max_tokens")
        return self


class NewCollection(RequestModel):
    """A collection to be made; it pins an embedder and a chunking."""

    name: Text = Field(
        min_length=1,
        max_length=200,
        description="Unique name; no slash, and nothing else that means something in a URL.",
        examples=["handbooks"],
    )
    description: Text = Field(
        default="",
        max_length=4000,
        description="What the documents are about; the chat model is told it.",
        examples=["The handbooks of the Vostrel station"],
    )
    embedder: Text | None = Field(
        default=None,
        max_length=1000,
        description="Name or id of an embedder that the service has loaded; null: the one of the settings.",
        examples=["all-MiniLM-L6-v2"],
    )
    chunking: NewChunking = Field(default=NewChunking(), description="How its documents are cut.")


class ChunkingOut(ResponseModel):
    """How documents are cut."""

    tokenizer: str = Field(description="Whose tokens are counted.", examples=["all-MiniLM-L6-v2"])
    max_tokens: int = Field(description="Longest piece, in tokens.", examples=[256])
    overlap: int = Field(description="Tokens that neighbours share.", examples=[32])


class CollectionOut(ResponseModel):
    """A named set of documents."""

    id: str = Field(description="Its id.", examples=["col_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    name: str = Field(description="Its name.", examples=["handbooks"])
    description: str = Field(
        description="What the documents are about.", examples=["The handbooks of the Vostrel station"]
    )
    embedder: str = Field(
        description="The embedder of its vectors, with the hash of its weights.",
        examples=["all-MiniLM-L6-v2@53aa51172d14"],
    )
    chunking: ChunkingOut = Field(description="How its documents are cut.")
    document_count: int = Field(description="How many documents it has, in any status.", examples=[15])
    created_at: datetime = Field(description="When it was made.", examples=["2026-03-01T06:30:00Z"])


class CollectionPage(Page[CollectionOut]):
    """A page of collections."""
