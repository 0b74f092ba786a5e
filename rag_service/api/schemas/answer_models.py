"""Chat models that may answer."""

from datetime import datetime

from pydantic import Field, JsonValue

from rag_service.api.schemas.common import Page, RequestModel, ResponseModel


class AnswerModelOut(ResponseModel):
    """A chat model that was published: an adapter for the base model of the settings."""

    id: str = Field(description="Its id.", examples=["mod_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    name: str = Field(description="Its name, that of its folder.", examples=["answerer-1"])
    active: bool = Field(description="Whether it answers.")
    base_sha256: str | None = Field(description="Hash of the base model's weights.")
    adapter_sha256: str | None = Field(description="Hash of the adapter's files.")
    evaluation: dict[str, dict[str, JsonValue]] = Field(
        description="Its measures with 95% intervals, by name.",
        examples=[{"contains gold": {"value": 0.62, "low": 0.55, "high": 0.69, "count": 200}}],
    )
    created_at: datetime = Field(description="When it was registered.")
    activated_at: datetime | None = Field(description="When it was last made the active one.")


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
