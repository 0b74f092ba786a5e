"""The shape of errors."""

from pydantic import BaseModel, ConfigDict, Field


class FieldError(BaseModel):
    """One field that does not fit."""

    field: str = Field(description="Path of the field in the request.", examples=["retrieval.top_k"])
    detail: str = Field(
        description="What is wrong with it.", examples=["Input should be greater than or equal to 1"]
    )
    code: str = Field(description="The same for programs.", examples=["greater_than_equal"])


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it (`application/problem+json`)."""

    model_config = ConfigDict(title="Problem")

    type: str = Field(
        description="Names the kind of problem; the path describes it.",
        examples=["/problems/invalid-request"],
    )
    title: str = Field(description="The kind of problem in words.", examples=["The request does not fit"])
    status: int = Field(description="The HTTP status again.", examples=[422])
    detail: str = Field(
        description="What is wrong here, and what to do.",
        examples=["retrieval.top_k: Input should be greater than or equal to 1"],
    )
    request_id: str | None = Field(
        description="The `X-Request-ID` under which the log has more.",
        examples=["5f0c1d8e7a3b4c6d9e2f1a0b3c4d5e6f"],
    )
    errors: list[FieldError] = Field(default=[], description="The fields that do not fit, if that is it.")


class OpenAIErrorBody(BaseModel):
    """The inside of OpenAI's error object."""

    message: str = Field(
        description="What is wrong.", examples=["There is no model 'gpt'; GET /v1/models lists them."]
    )
    type: str = Field(
        description="`invalid_request_error` or `server_error`.", examples=["invalid_request_error"]
    )
    param: str | None = Field(description="The field that does not fit, if that is it.", examples=["model"])
    code: str | None = Field(description="The kind of problem.", examples=["model_not_found"])


class OpenAIError(BaseModel):
    """An error as OpenAI's clients read it."""

    error: OpenAIErrorBody = Field(description="The error.")
