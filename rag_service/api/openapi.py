"""What OpenAPI tells about errors: each status of an operation as a problem document, with an example."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from rag_service.api import errors
from rag_service.api.errors import PROBLEM_MEDIA_TYPE, PROBLEM_PATH, Problem, ProblemKind
from rag_service.api.schemas.problems import OpenAIError, ProblemDocument
from rag_service.api.schemas.search import FILTER_SCHEMA, FILTER_SCHEMA_NAME

Json = dict[str, Any]  # a piece of an OpenAPI document
Responses = dict[int | str, Json]

EXAMPLE_REQUEST_ID = "5f0c1d8e7a3b4c6d9e2f1a0b3c4d5e6f"
_REFERENCE = "#/components/schemas/{model}"
_ALWAYS = (errors.INTERNAL, errors.DATABASE_AWAY)
_GUARDED = (errors.UNAUTHENTICATED, errors.WRONG_SCOPE, errors.RATE_LIMITED)


def problems(*kinds: ProblemKind) -> Responses:
    """Return the error responses of an operation that needs a key, where keys are on."""
    return _responses((*kinds, *_GUARDED), PROBLEM_MEDIA_TYPE, "Problem", _problem_example)


def open_problems(*kinds: ProblemKind) -> Responses:
    """Return the error responses of an operation that is open to everybody."""
    return _responses(kinds, PROBLEM_MEDIA_TYPE, "Problem", _problem_example)


def openai_errors(*kinds: ProblemKind) -> Responses:
    """Return the error responses of an operation whose clients read OpenAI's error object."""
    return _responses((*kinds, *_GUARDED), "application/json", "OpenAIError", _openai_example)


def describe(app: FastAPI, description: str, *, keys_required: bool) -> Json:
    """Return the application's OpenAPI document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= _schemas_of(ProblemDocument, "Problem") | _schemas_of(OpenAIError, "OpenAIError")
        schemas[FILTER_SCHEMA_NAME] = FILTER_SCHEMA
        schemas.setdefault("JsonValue", {})["description"] = "Any JSON value."
        if not keys_required:
            _make_keys_optional(document)
        app.openapi_schema = document
    return app.openapi_schema


def events(description: str) -> Json:
    """Return the response of an operation that sends events; each event's `data` is JSON."""
    event: Json = {
        "type": "object",
        "properties": {
            "event": {"type": "string", "description": "What happened."},
            "data": {"type": "string", "description": "JSON."},
        },
    }
    return {"description": description, "content": {"text/event-stream": {"itemSchema": event}}}


def _make_keys_optional(document: Json) -> None:
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        if "security" in operation:
            operation["security"] = [*operation["security"], {}]


def _responses(
    kinds: tuple[ProblemKind, ...], media_type: str, schema: str, example: Callable[[ProblemKind], Json]
) -> Responses:
    by_status: dict[int, list[ProblemKind]] = {}
    for kind in dict.fromkeys((*kinds, *_ALWAYS)):
        by_status.setdefault(kind.status, []).append(kind)
    return {
        status: {
            "description": " · ".join(kind.title for kind in found),
            "content": {
                media_type: {
                    "schema": {"$ref": _REFERENCE.format(model=schema)},
                    "examples": {
                        kind.slug: {"summary": kind.title, "value": example(kind)} for kind in found
                    },
                }
            },
            **_headers(found),
        }
        for status, found in sorted(by_status.items())
    }


def _headers(kinds: list[ProblemKind]) -> Json:
    if all(kind.retry_after_s is None for kind in kinds):
        return {}
    text = "Seconds after which to try again."
    return {"headers": {"Retry-After": {"description": text, "schema": {"type": "integer"}}}}


def _problem_example(kind: ProblemKind) -> Json:
    example: Json = {
        "type": PROBLEM_PATH + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": kind.title + ".",
        "request_id": EXAMPLE_REQUEST_ID,
    }
    if kind is errors.INVALID:
        field = {"field": "name", "detail": "Field required", "code": "missing"}
        example |= {"detail": "name: Field required", "errors": [field]}
    return example


def _openai_example(kind: ProblemKind) -> Json:
    return errors.openai_error(Problem(kind, kind.title + "."))


def _schemas_of(model: type[BaseModel], name: str) -> Json:
    schema = model.model_json_schema(ref_template=_REFERENCE)
    inner: Json = schema.pop("$defs", {})
    return inner | {name: schema}


def upload_body(
    json_model: type[BaseModel],
    form_model: type[BaseModel],
    *,
    files: str = "file",
    json_type: str = "application/json",
) -> Json:
    """Return the description of a body that is either JSON or a form with files."""
    file: Json = {"type": "string", "format": "binary", "description": "The file."}
    if files == "files":
        file = {"type": "array", "items": file, "minItems": 1, "description": "The files."}
    form = form_model.model_json_schema(ref_template=_REFERENCE)
    form["properties"] = {files: file, **form["properties"]}
    form["required"] = [files, *form.get("required", [])]
    return {
        "requestBody": {
            "required": True,
            "content": {
                json_type: {"schema": json_model.model_json_schema(ref_template=_REFERENCE)},
                "multipart/form-data": {"schema": form},
            },
        }
    }
