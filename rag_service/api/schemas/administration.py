"""Index generations, reindexing and consistency."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from indexer.findings import Kind
from indexer.trial import MOST_QUESTIONS
from rag_service.api.schemas.collections import ChunkingOut, NewChunking
from rag_service.api.schemas.common import (
    CollectionName,
    ExternalId,
    Page,
    RequestModel,
    ResponseModel,
    Text,
)
from rag_service.api.schemas.jobs import JobOut


class GenerationOut(ResponseModel):
    """An index of one collection."""

    id: str = Field(description="Its id.", examples=["gen_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    collection: str = Field(description="Name of its collection.", examples=["default"])
    state: Literal["building", "ready", "active", "retired", "failed"] = Field(
        description="`active` serves; `retired` served before and can serve again."
    )
    embedder: str = Field(description="What made its vectors.", examples=["all-MiniLM-L6-v2@53aa51172d14"])
    chunking: ChunkingOut = Field(description="How its documents are cut.")
    index_type: str = Field(description="How vectors are searched.", examples=["auto"])
    vector_count: int = Field(description="Vectors in its base.", examples=[1200])
    change_number: int = Field(description="Last change that its base holds.", examples=[48])
    error: str | None = Field(description="Why it failed.", examples=[None])
    created_at: datetime = Field(description="When it was begun.", examples=["2026-03-01T06:30:00Z"])
    activated_at: datetime | None = Field(
        description="When it served first.", examples=["2026-03-01T06:30:00Z"]
    )


class GenerationPage(Page[GenerationOut]):
    """A page of generations, newest first."""


class NewTrialQuestion(RequestModel):
    """A question whose documents are known."""

    question: Text = Field(
        min_length=1, max_length=4000, description="The question.", examples=["Who keeps the generators?"]
    )
    documents: list[ExternalId] = Field(
        min_length=1,
        max_length=100,
        description="External ids of the documents that answer it.",
        examples=[["handbook.md"]],
    )


class NewTrial(RequestModel):
    """What a new generation must find by meaning before it may serve."""

    questions: list[NewTrialQuestion] = Field(
        min_length=1, max_length=MOST_QUESTIONS, description="Questions whose documents are known."
    )
    least_recall: float = Field(
        ge=0,
        le=1,
        description="Least mean share of a question's documents among the first ten that are found.",
        examples=[0.9],
    )


class NewReindex(RequestModel):
    """What the new generation is to be; a collection goes on being searched until it is there."""

    collection: CollectionName = Field(default="default")
    embedder: Text | None = Field(
        default=None,
        max_length=1000,
        description="An installed package, a folder of the service's machine, the address of an embedding "
        "server (`http://host:8080/v1#model`), or the id of an embedder that a generation has; null: the one "
        "of the settings.",
        examples=["all-MiniLM-L6-v2"],
    )
    chunking: NewChunking = Field(default=NewChunking(), description="How documents are cut.")
    index: Text = Field(
        default="auto",
        max_length=40,
        description="How vectors are searched: auto (by their number), flat (exactly), ivf (inverted lists).",
    )
    manual: bool = Field(default=False, description="Stop when it is ready, and wait for `promote`.")
    evaluation: NewTrial | None = Field(
        default=None, description="What it must find; else it is thrown away and the job fails."
    )


class ReindexOut(ResponseModel):
    """The building of a generation."""

    id: str = Field(
        description="Its id, which is that of its job.", examples=["job_01jd3v8k6q2m4n5p7r9s1t3v5w"]
    )
    job: JobOut = Field(description="How far it is.")
    generation: str | None = Field(
        description="Id of the generation that it builds.", examples=["gen_01jd3v8k6q2m4n5p7r9s1t3v5w"]
    )


class ReindexPage(Page[ReindexOut]):
    """A page of reindexes and compactions, newest first."""


class NewCheck(RequestModel):
    """How closely to look."""

    thorough: bool = Field(default=False, description="Whether to read every text and every byte of files.")
    repair: bool = Field(default=False, description="Whether to mend what is found.")


class FindingOut(ResponseModel):
    """Something that does not agree."""

    kind: Kind = Field(description="What kind of thing.")
    subject: str = Field(
        description="Id of a document, generation or collection, a hash or a folder.",
        examples=["doc_01jd3v8k6q2m4n5p7r9s1t3v5w"],
    )
    message: str = Field(
        description="What is wrong.", examples=["2 chunks have no vector of the active generation."]
    )


class CheckReport(ResponseModel):
    """What was found, and what was done about it."""

    findings: list[FindingOut] = Field(description="Everything that did not agree.")
    jobs: list[str] = Field(
        description="Ids of jobs that mend what takes longer.", examples=[["job_01jd3v8k6q2m4n5p7r9s1t3v5w"]]
    )
    left: list[FindingOut] = Field(description="What nothing here can mend.")
