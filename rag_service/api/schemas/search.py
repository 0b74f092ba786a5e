"""Search."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue, WithJsonSchema

from rag_service.api.schemas.common import CollectionName, RequestModel, ResponseModel, SpokenText

MAX_QUERY_CHARACTERS = 8_000
FILTER_SCHEMA_NAME = "Filter"

SearchMode = Literal["hybrid", "dense", "lexical"]
Expand = Literal["none", "neighbours"]

# Read by retrieval/filters.py, which also limits depth and size; here is only what OpenAPI tells of it.
FilterJson = Annotated[
    dict[str, JsonValue],
    WithJsonSchema({"$ref": f"#/components/schemas/{FILTER_SCHEMA_NAME}"}),
]
Filters = Annotated[
    FilterJson | None, Field(description="Only documents that fit are looked at; null: all are.")
]
Collections = Annotated[
    list[CollectionName] | None,
    Field(
        min_length=1,
        max_length=20,
        description="Names or ids of the collections to look in; without any, `default`.",
        examples=[["default"]],
    ),
]
TopK = Annotated[int, Field(ge=1, le=100, description="At most how many passages.", examples=[8])]

FILTER_SCHEMA = {
    "title": "Filter",
    "description": "A condition on documents, in the grammar of OpenAI's file search.",
    "examples": [{"type": "and", "filters": [{"type": "eq", "key": "year", "value": 2024}]}],
    "anyOf": [
        {
            "type": "object",
            "title": "Comparison",
            "description": "The document's value at `key` stands in this relation to `value`.",
            "properties": {
                "type": {
                    "type": "string",
                    "enum": ["eq", "ne", "gt", "gte", "lt", "lte"],
                    "description": "The relation.",
                },
                "key": {
                    "type": "string",
                    "minLength": 1,
                    "description": "A key of the metadata, or title, media_type, external_id, created_at.",
                },
                "value": {
                    "anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}],
                    "description": "What to compare with; its type counts.",
                },
            },
            "required": ["type", "key", "value"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "title": "Membership",
            "description": "The document's value at `key` is, or is not, one of `value`.",
            "properties": {
                "type": {"type": "string", "enum": ["in", "nin"], "description": "In or not in."},
                "key": {"type": "string", "minLength": 1, "description": "As in a comparison."},
                "value": {
                    "type": "array",
                    "items": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
                    "description": "The values.",
                },
            },
            "required": ["type", "key", "value"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "title": "Combination",
            "description": "All, or at least one, of the filters hold.",
            "properties": {
                "type": {"type": "string", "enum": ["and", "or"], "description": "All or at least one."},
                "filters": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"$ref": f"#/components/schemas/{FILTER_SCHEMA_NAME}"},
                    "description": "The filters.",
                },
            },
            "required": ["type", "filters"],
            "additionalProperties": False,
        },
    ],
}


class SearchIn(RequestModel):
    """What to search for."""

    query: SpokenText = Field(
        max_length=MAX_QUERY_CHARACTERS,
        description="A question or key words.",
        examples=["Who keeps the generators?"],
    )
    collections: Collections = None
    filters: Filters = None
    top_k: TopK = 8
    search: SearchMode = Field(
        default="hybrid", description="By meaning (`dense`), by words (`lexical`), or both fused."
    )
    expand: Expand = Field(
        default="none", description="`neighbours`: each passage with the text before and after it."
    )


class ScoresOut(ResponseModel):
    """How well a passage fits; null: not found that way."""

    dense: float | None = Field(description="Cosine of query and passage.", examples=[0.71])
    lexical: float | None = Field(description="BM25.", examples=[8.2])
    fused: float = Field(description="What the order goes by, without a reranker.", examples=[0.93])
    reranked: float | None = Field(
        default=None,
        description="The reranker's score, by which the best passages are ordered if there is one.",
        examples=[None],
    )


class PassageOut(ResponseModel):
    """A piece of a document that was found."""

    chunk_id: str = Field(description="Id of the chunk.", examples=["chk_17"])
    document_id: str = Field(description="Its document.", examples=["doc_01jd3v8k6q2m4n5p7r9s1t3v5w"])
    external_id: str | None = Field(description="Your own id for the document.", examples=["handbook"])
    document_title: str = Field(description="The document's title.", examples=["Vostrel handbook"])
    text: str = Field(
        description="The document's `content[start:end]`.", examples=["Orson Kovacs keeps the generators."]
    )
    page: int | None = Field(description="Page on which it begins, in formats that have pages.", examples=[1])
    start: int = Field(description="First character in the document's `content`.", examples=[120])
    end: int = Field(description="Character after its last.", examples=[154])
    metadata: dict[str, JsonValue] = Field(description="The document's metadata.", examples=[{"year": 2024}])
    scores: ScoresOut = Field(description="How well it fits.")


class SearchTimings(ResponseModel):
    """Where the time went, in milliseconds."""

    embed: float = Field(description="Embedding the query.", examples=[9.1])
    search: float = Field(description="Searching, and reading the passages.", examples=[2.4])


class SearchOut(ResponseModel):
    """Passages, the best first."""

    object: Literal["list"] = Field(default="list", description="Always `list`.")
    data: list[PassageOut] = Field(description="The passages.")
    rewritten_query: str | None = Field(
        default=None, description="What was searched for, where it is not the query itself.", examples=[None]
    )
    generation: str | None = Field(
        description="Id of the index generation.", examples=["gen_01jd3v8k6q2m4n5p7r9s1t3v5w"]
    )
    timings_ms: SearchTimings = Field(description="Where the time went.")
