"""Traces."""

from datetime import datetime

from pydantic import Field, JsonValue

from rag_service.api.schemas.answers import AnswerOut
from rag_service.api.schemas.common import ResponseModel


class TraceOut(ResponseModel):
    """How an answer came about."""

    id: str = Field(description="Its id.", examples=["trc_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    answer_id: str = Field(description="The answer.", examples=["ans_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    question: str = Field(description="The question.", examples=["Who keeps the generators?"])
    request: dict[str, JsonValue] = Field(
        description="What was asked for: all that a replay needs.", examples=[{"mode": "always", "top_k": 8}]
    )
    result: dict[str, JsonValue] = Field(
        description="What came of it: passages with hashes and scores, the prompt as the model read it, "
        "hashes of model and adapter, index generation, timings.",
        examples=[{"status": "answered", "answer": "Orson Kovacs keeps them. [1]"}],
    )
    created_at: datetime = Field(description="When.", examples=["2026-03-01T06:30:00Z"])


class ReplayOut(ResponseModel):
    """An answer given once more."""

    trace_id: str = Field(description="What was replayed.", examples=["trc_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    changed: list[str] = Field(
        description="Which fields of the trace's `result` are different now, times aside.",
        examples=[["passages", "prompt"]],
    )
    before: dict[str, JsonValue] = Field(
        description="The trace's `result`.",
        examples=[{"status": "answered", "answer": "Orson Kovacs keeps them. [1]"}],
    )
    answer: AnswerOut = Field(description="The answer now, with a trace of its own.")
