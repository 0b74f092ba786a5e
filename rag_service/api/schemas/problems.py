"""The shape of errors."""

from pydantic import BaseModel, ConfigDict, Field


class FieldError(BaseModel):
    """One field that does not fit."""

    field: str = Field(description="Path of the field in the request.", examples=["retrieval.top_k"])
    detail: str = Field(description="What is wrong with it.")
    code: str = Field(description="The same for programs.", examples=["greater_than_equal"])


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it (`application/problem+json`)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(
        description="Names the kind of problem; the path describes it.",
        examples=["/problems/invalid-request"],
    )
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status again.", examples=[422])
    detail: str = Field(description="What is wrong here, and what to do.")
    request_id: str | None = Field(description="The `X-Request-ID` under which the log has more.")
    errors: list[FieldError] = Field(default=[], description="The fields that do not fit, if that is it.")


class OpenAIErrorBody(BaseModel):
    """The inside of OpenAI's error object."""

    message: str = Field(description="What is wrong.")
    type: str = Field(description="`invalid_request_error` or `server_error`.")
    param: str | None = Field(description="The field that does not fit, if that is it.")
    code: str | None = Field(description="The kind of problem.", examples=["model_not_found"])


class OpenAIError(BaseModel):
    """An error as OpenAI's clients read it."""

    error: OpenAIErrorBody = Field(description="The error.")
