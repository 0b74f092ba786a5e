"""Health and readiness."""

from typing import Literal

from pydantic import Field

from rag_service.api.schemas.common import ResponseModel


class Health(ResponseModel):
    """The process answers; nothing else was looked at."""

    status: Literal["ok"] = Field(default="ok", description="Always `ok`.")
    version: str = Field(description="Version of the program.", examples=["0.1.0"])


class CheckOut(ResponseModel):
    """One thing that the service needs."""

    name: str = Field(description="What it is.", examples=["chat model"])
    problem: str | None = Field(description="What is wrong with it; null: nothing.", examples=[None])


class Readiness(ResponseModel):
    """Everything that requests need is there."""

    status: Literal["ready"] = Field(default="ready", description="Always `ready`; else the status is 503.")
    checks: list[CheckOut] = Field(description="What was looked at.")
