"""API keys."""

from datetime import datetime

from pydantic import Field

from rag_service.api.schemas.common import Page, RequestModel, ResponseModel, Text
from rag_service.auth import Scope


class NewApiKey(RequestModel):
    """A key to be made."""

    name: Text = Field(min_length=1, max_length=200, description="Whose it is.", examples=["laptop"])
    scopes: list[Scope] = Field(
        min_length=1,
        max_length=5,
        description="What it may do; `admin` includes all others.",
        examples=[["query", "documents:write"]],
    )


class ApiKeyOut(ResponseModel):
    """A key, without the key itself."""

    id: str = Field(description="Its id.", examples=["key_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    name: str = Field(description="Whose it is.", examples=["laptop"])
    scopes: list[Scope] = Field(description="What it may do.", examples=[["query"]])
    created_at: datetime = Field(description="When it was made.", examples=["2026-03-01T06:30:00Z"])
    revoked_at: datetime | None = Field(description="Since when it is useless.", examples=[None])


class ApiKeyMade(ApiKeyOut):
    """A key that was made a moment ago."""

    key: str = Field(description="The key itself: shown here and never again.", examples=["rag_…"])


class ApiKeyPage(Page[ApiKeyOut]):
    """A page of keys."""
