"""Ingestion jobs and their items."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from rag_service.api.schemas.common import (
    ABOUT_METADATA,
    CollectionName,
    DocumentText,
    ExternalId,
    Metadata,
    OnDuplicate,
    Page,
    RequestModel,
    ResponseModel,
    Title,
)

JobStatus = Literal["queued", "running", "completed", "failed", "cancelled"]
ItemStatus = Literal["queued", "running", "done", "failed", "skipped", "cancelled"]


class JobCounts(ResponseModel):
    """How far a job's items are."""

    total: int = Field(description="All items.", examples=[12])
    done: int = Field(description="Items whose documents can be found.", examples=[9])
    failed: int = Field(description="Items that could not be read; their `error` says why.", examples=[1])
    skipped: int = Field(description="Items without work, such as duplicates.", examples=[1])
    in_progress: int = Field(description="Items being worked on now.", examples=[1])
    cancelled: int = Field(description="Items that were not begun when the job was cancelled.", examples=[0])


class JobOut(ResponseModel):
    """Work in the background."""

    id: str = Field(description="Its id.", examples=["job_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    kind: str = Field(
        description="`upload` of one document, `ingestion` of many, `reindex` or `compaction`.",
        examples=["ingestion"],
    )
    status: JobStatus = Field(description="A job with failed items still completes.")
    counts: JobCounts = Field(description="How far its items are.")
    stage: str | None = Field(description="What is being done now.", examples=["embed"])
    rate: float | None = Field(description="Items a second; null before the first is done.", examples=[2.5])
    eta_s: float | None = Field(
        description="Seconds that the rest will take; null: not known yet.", examples=[14.0]
    )
    error: str | None = Field(description="Why the job as a whole failed.", examples=[None])
    created_at: datetime = Field(description="When it was asked for.", examples=["2026-03-01T06:30:00Z"])
    finished_at: datetime | None = Field(description="When it ended.", examples=["2026-03-01T06:30:00Z"])


class JobItemOut(ResponseModel):
    """One document of a job."""

    position: int = Field(description="Its place in the upload, from 0.", examples=[0])
    name: str = Field(description="File name or external id.", examples=["handbook.md"])
    document_id: str | None = Field(
        description="The document; null if there is none.", examples=["doc_01jd3v8k6q2m4n5p7r9s1t3v5w"]
    )
    status: ItemStatus = Field(description="How far it is.")
    error: str | None = Field(description="Why it failed, and what to do.", examples=[None])
    error_kind: Literal["permanent", "transient"] | None = Field(
        description="`permanent`: the document's fault; `transient`: a retry may help."
    )
    attempts: int = Field(description="How often it was tried.", examples=[1])


class JobPage(Page[JobOut]):
    """A page of jobs, newest first."""


class JobItemPage(Page[JobItemOut]):
    """A page of a job's items, in the order of the upload."""


class IngestionForm(RequestModel):
    """The fields beside `files` in a form that uploads many documents."""

    collection: CollectionName = Field(default="default")
    metadata: Metadata = Field(default={})
    on_duplicate: OnDuplicate = Field(
        default="skip", description="If the collection has a file: skip it, read it again, or note an error."
    )


class IngestionRecord(RequestModel):
    """A line of JSONL: a text and what is known about it."""

    text: DocumentText = Field(examples=["Orson Kovacs keeps the generators."])
    title: Title | None = Field(default=None, description="Title; without one, it has a stand-in.")
    external_id: ExternalId | None = Field(
        default=None, description="Your own id for it, unique in its collection."
    )
    metadata: Metadata | None = Field(
        default=None, description=f"{ABOUT_METADATA} Null: those of the upload, if it has any."
    )
    collection: CollectionName | None = Field(
        default=None,
        description="Name or id of its collection; null: that of the upload.",
        examples=["default"],
    )
