"""Documents and their chunks."""

from datetime import datetime
from typing import Literal, Self

from pydantic import ConfigDict, Field, JsonValue, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

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
from rag_service.api.schemas.jobs import JobOut

DocumentStatus = Literal["pending", "processing", "ready", "failed"]


class NewDocument(RequestModel):
    """A document as plain text, sent as JSON; its content is kept character by character."""

    text: DocumentText = Field(examples=["Orson Kovacs keeps the generators."])
    title: Title | None = Field(default=None, description="Title; without one, it has a stand-in.")
    external_id: ExternalId | None = Field(
        default=None, description="Your own id for it, unique in its collection."
    )
    metadata: Metadata | None = Field(default=None, description=f"{ABOUT_METADATA} Null: none.")
    collection: CollectionName | None = Field(
        default=None, description="Name or id of the collection; null: `default`.", examples=["default"]
    )
    on_duplicate: OnDuplicate = Field(
        default="skip",
        description="If the collection has it: `skip` it, `replace` title and metadata, or `error` (409). "
        "A known `external_id` with new content is a new version.",
    )


class NewVersion(RequestModel):
    """A document's new content as plain text, sent as JSON."""

    text: DocumentText = Field(examples=["Ilse Brandt keeps the generators."])
    title: Title | None = Field(default=None, description="New title; null: found in the text again.")
    metadata: Metadata | None = Field(default=None, description="New metadata; null: as before.")


class DocumentChanges(RequestModel):
    """What can change without new content; fields left out stay."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    title: Title | SkipJsonSchema[None] = Field(default=None, description="New title.")
    external_id: ExternalId | None = Field(
        default=None,
        description="New id of your own; null takes it away.",
        examples=["handbook"],
    )
    metadata: Metadata | SkipJsonSchema[None] = Field(
        default=None, description="New metadata, in place of all of the old."
    )

    @field_validator("title", "metadata")
    @classmethod
    def _not_null(cls, value: object) -> object:
        if value is None:
            raise ValueError("must not be null")
        return value

    @model_validator(mode="after")
    def _some_change(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("name at least one field to change: title, external_id or metadata")
        return self


class DocumentOut(ResponseModel):
    """A document as it is now."""

    id: str = Field(description="Its id.", examples=["doc_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    external_id: str | None = Field(description="Your own id for it.", examples=["handbook"])
    collection: str = Field(description="Name of its collection.", examples=["default"])
    title: str = Field(description="Its title.", examples=["Vostrel handbook"])
    media_type: str = Field(description="What kind of file it was.", examples=["text/markdown"])
    sha256: str = Field(
        description="Hash of the uploaded bytes, in hexadecimal.",
        examples=["217801f025585c6a6c9c4c57908d9067892fe7fb9b565b429b7f0b68a03bdedd"],
    )
    version: int = Field(description="1, then one more for each replacement.", examples=[1])
    status: DocumentStatus = Field(
        description="`ready`: it can be found. `failed`: `error` says why. Else it waits or is being read."
    )
    error: str | None = Field(description="Why reading it failed, and what to do.", examples=[None])
    metadata: dict[str, JsonValue] = Field(description="As given.", examples=[{"year": 2024}])
    chunk_count: int = Field(description="How many pieces can be found.", examples=[12])
    created_at: datetime = Field(description="When it was uploaded first.", examples=["2026-03-01T06:30:00Z"])
    updated_at: datetime = Field(
        description="When anything about it changed last.", examples=["2026-03-01T06:30:00Z"]
    )


class DocumentAccepted(ResponseModel):
    """The answer to an upload."""

    document: DocumentOut = Field(description="The document; watch its `status`.")
    job: JobOut | None = Field(description="The work on it; null: there is nothing to do.")
    duplicate_of: str | None = Field(
        default=None,
        description="Id of the document that has the same bytes already; nothing was done.",
        examples=[None],
    )


class DocumentPage(Page[DocumentOut]):
    """A page of documents."""


class ChunkOut(ResponseModel):
    """A piece of a document, as it can be found."""

    id: str = Field(description="Its id.", examples=["chk_17"])
    position: int = Field(description="Its place in the document, from 0.", examples=[0])
    start: int = Field(description="First character in the document's `content`.", examples=[0])
    end: int = Field(description="Character after its last.", examples=[34])
    text: str = Field(description="`content[start:end]`.", examples=["Orson Kovacs keeps the generators."])
    page: int | None = Field(
        description="Page on which it begins, from 1, in formats that have pages.", examples=[1]
    )
    heading_path: list[str] = Field(
        description="The headings above it, outermost first.", examples=[["Vostrel handbook", "Generators"]]
    )
    token_count: int = Field(description="Its length in the embedder's tokens.", examples=[9])


class ChunkPage(Page[ChunkOut]):
    """A page of chunks, in the document's order."""


class UploadForm(RequestModel):
    """The fields beside `file` in a form that uploads a document."""

    title: Title | None = Field(default=None, description="Title; without one, the file's own.")
    external_id: ExternalId | None = Field(
        default=None, description="Your own id for it, unique in its collection."
    )
    metadata: Metadata = Field(default={})
    collection: CollectionName = Field(default="default")
    on_duplicate: OnDuplicate = Field(
        default="skip",
        description="If the collection has it: `skip` it, `replace` title and metadata, or `error` (409). "
        "A known `external_id` with new content is a new version.",
    )


class VersionForm(RequestModel):
    """The fields beside `file` in a form that replaces a document."""

    title: Title | None = Field(default=None, description="New title; without one, the file's own.")
    metadata: Metadata | None = Field(default=None, description="New metadata; without any, as before.")
