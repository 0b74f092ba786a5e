"""Chat models that may answer."""

from datetime import datetime

from pydantic import Field, JsonValue

from rag_service.api.schemas.common import Page, RequestModel, ResponseModel


class AnswerModelOut(ResponseModel):
    """A chat model that was published: an adapter for the base model of the settings."""

    id: str = Field(description="Its id.", examples=["mod_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    name: str = Field(description="Its name, that of its folder.", examples=["answerer-1"])
    active: bool = Field(description="Whether it answers.")
    base_sha256: str | None = Field(
        description="Hash of the base model's weights.",
        examples=["b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"],
    )
    adapter_sha256: str | None = Field(
        description="Hash of the adapter's files.",
        examples=["9f2c41d07a6b8e35c1d4f0a29b7e6c58d3a1f4b07c92e6d85a3b1c0f7e4d2a69"],
    )
    evaluation: dict[str, dict[str, JsonValue]] = Field(
        description="Its measures with 95% intervals, by name.",
        examples=[{"contains gold": {"value": 0.62, "low": 0.55, "high": 0.69, "count": 200}}],
    )
    created_at: datetime = Field(description="When it was registered.", examples=["2026-03-01T06:30:00Z"])
    activated_at: datetime | None = Field(
        description="When it was last made the active one.", examples=["2026-03-01T06:30:00Z"]
    )


class AnswerModelPage(Page[AnswerModelOut]):
    """A page of models; where none is active, the model of the settings answers."""


class Activation(RequestModel):
    """How to activate."""

    force: bool = Field(
        default=False, description="Whether to activate it even if it is worse than the active one."
    )


class AnsweringModel(ResponseModel):
    """What answers now."""

    model: str = Field(
        description="Name of the model, as answers carry it.", examples=["SmolLM2-135M-Instruct+answerer-1"]
    )
    active: AnswerModelOut | None = Field(description="The active one; null: that of the settings answers.")
