"""Parts that all schemas share."""

import json
import math
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue

from indexer.uploads import LARGEST_METADATA, too_large_metadata

Row = TypeVar("Row")

MAX_METADATA_DEPTH = 8


class RequestModel(BaseModel):
    """Parent of what is sent to us: a field that we do not know, or of another type, is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ResponseModel(BaseModel):
    """Parent of what we send; made from our own dataclasses and rows by attribute."""

    model_config = ConfigDict(from_attributes=True)


def check_text(text: str) -> str:
    """Refuse U+0000, which PostgreSQL keeps in no text, and half a surrogate pair, which no encoding has.

    JSON can bring both. Pydantic itself finds the second only where it looks at a length or a pattern.
    """
    if "\0" in text:
        raise ValueError("must not contain the character U+0000")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("must contain no half of a surrogate pair") from error
    return text


def refuse_blank(text: str) -> str:
    """Refuse a text of nothing but white space."""
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def check_metadata(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what a database's JSON column can not keep, and what is no metadata any more."""
    _check_json(metadata, depth=1)
    size = len(json.dumps(metadata, ensure_ascii=False).encode())
    if size > LARGEST_METADATA:
        raise ValueError(too_large_metadata(size))
    return metadata


def _check_json(value: JsonValue, *, depth: int) -> None:
    if depth > MAX_METADATA_DEPTH:
        raise ValueError(f"must be nested at most {MAX_METADATA_DEPTH} levels deep")
    if isinstance(value, dict):
        for key, item in value.items():
            check_text(key)
            _check_json(item, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check_json(item, depth=depth + 1)
    elif isinstance(value, str):
        check_text(value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must contain finite numbers only")


ABOUT_METADATA = "Any JSON object, at most 65,536 bytes; filters compare its top-level values."
Text = Annotated[str, AfterValidator(check_text)]
Metadata = Annotated[
    dict[str, JsonValue],
    AfterValidator(check_metadata),
    Field(
        description=ABOUT_METADATA,
        examples=[{"year": 2024, "language": "en"}],
    ),
]
OnDuplicate = Literal["skip", "replace", "error"]
SpokenText = Annotated[
    Text, AfterValidator(refuse_blank), Field(json_schema_extra={"minLength": 1, "pattern": r"\S"})
]
DocumentText = Annotated[SpokenText, Field(description="The document's text.")]
Title = Annotated[Text, Field(max_length=1000, examples=["Vostrel handbook"])]
ExternalId = Annotated[Text, Field(min_length=1, max_length=500, examples=["handbook"])]
CollectionName = Annotated[
    Text,
    Field(min_length=1, max_length=200, description="A collection's name or id.", examples=["default"]),
]


class Page(ResponseModel, Generic[Row]):
    """One page of a list."""

    object: str = Field(default="list", description="Always `list`.")
    data: list[Row] = Field(description="The rows of this page, oldest first.")
    next_cursor: str | None = Field(
        description="Send it as `cursor` to get the next page; null: this is the last.", examples=[None]
    )
