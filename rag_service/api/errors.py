"""The one table from error to HTTP status, and the handlers that answer with it.

Errors are RFC 9457 problem documents; the OpenAI-compatible routes answer with OpenAI's error object
instead, because their clients read nothing else.
"""

import errno
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException as StarletteHTTPException

from corpus import errors
from corpus.text import encodable
from rag_service.logs import current_request_id

PROBLEM_MEDIA_TYPE = "application/problem+json"
PROBLEM_PATH = "/problems/"
_OPENAI_PATHS = re.compile(r"/v1/(chat/completions|models(/.*)?|embeddings)/?")

_TYPE_NAME = re.compile(r"[\[(]")
_FIELD_FIRST = re.compile(r"([a-z_]+(?:\.[a-z_]+|\[\d+\])*): (.+)", re.DOTALL)
_INDEX = re.compile(r"\[(\d+)\]")

_FULL = {errno.ENOSPC, errno.EDQUOT}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """What all problems of one type share; `retry_after_s` is sent as ``Retry-After``."""

    status: int
    slug: str
    title: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that does not fit; `field` is its path, such as ``retrieval.top_k``."""

    field: str
    detail: str
    code: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem, ready to be sent."""

    kind: ProblemKind
    detail: str
    errors: tuple[FieldProblem, ...] = ()


MALFORMED = ProblemKind(400, "malformed-request", "The request can not be read")
UNAUTHENTICATED = ProblemKind(401, "no-api-key", "A valid API key is needed")
WRONG_SCOPE = ProblemKind(403, "wrong-scope", "The API key lacks the scope for this")
NO_ROUTE = ProblemKind(404, "no-such-route", "There is no such route")
WRONG_METHOD = ProblemKind(405, "method-not-allowed", "The route has no such method")
TOO_LARGE = ProblemKind(413, "too-large", "The request is too large")
NO_MODEL = ProblemKind(404, "model-not-found", "There is no such model")
UNSUPPORTED_TYPE = ProblemKind(415, "unsupported-media-type", "This type of content is not read")
INVALID = ProblemKind(422, "invalid-request", "The request does not fit")
RATE_LIMITED = ProblemKind(429, "rate-limited", "Too many requests", retry_after_s=1)
INTERNAL = ProblemKind(500, "internal-error", "The service failed")
DATABASE_AWAY = ProblemKind(503, "database-unavailable", "The database does not answer", retry_after_s=5)
DISK_FULL = ProblemKind(503, "disk-full", "There is no room on the disk", retry_after_s=60)
NOT_READY = ProblemKind(503, "not-ready", "The service is not ready", retry_after_s=5)

# The most special class that fits decides.
KINDS: Mapping[type[Exception], ProblemKind] = {
    errors.InvalidRequest: INVALID,
    errors.InvalidCursor: ProblemKind(422, "invalid-cursor", "The paging cursor was not given out here"),
    errors.InvalidFilter: ProblemKind(422, "invalid-filter", "The filter does not fit the grammar"),
    errors.QuestionTooLong: ProblemKind(422, "question-too-long", "The question is too long"),
    errors.NotFound: ProblemKind(404, "not-found", "Nothing has this name or id"),
    errors.AnswerModelNotFound: ProblemKind(404, "answer-model-not-found", "There is no such chat model"),
    errors.AnswerNotFound: ProblemKind(404, "answer-not-found", "There is no trace of this answer"),
    errors.CollectionNotFound: ProblemKind(404, "collection-not-found", "There is no such collection"),
    errors.DocumentNotFound: ProblemKind(404, "document-not-found", "There is no such document"),
    errors.GenerationNotFound: ProblemKind(404, "generation-not-found", "There is no such generation"),
    errors.JobNotFound: ProblemKind(404, "job-not-found", "There is no such job"),
    errors.KeyNotFound: ProblemKind(404, "key-not-found", "There is no such API key"),
    errors.TraceNotFound: ProblemKind(404, "trace-not-found", "There is no such trace"),
    errors.Conflict: ProblemKind(409, "conflict", "The present state forbids this"),
    errors.CollectionExists: ProblemKind(409, "collection-exists", "The collection exists already"),
    errors.DuplicateDocument: ProblemKind(409, "duplicate-document", "The document exists already"),
    errors.EmbedderMismatch: ProblemKind(409, "embedder-mismatch", "The vectors are of another embedder"),
    errors.WorseThanActive: ProblemKind(
        409, "worse-than-active", "The chat model is worse than the active one"
    ),
    errors.TooLarge: TOO_LARGE,
    errors.QueueFull: ProblemKind(429, "queue-full", "Too much waits already", retry_after_s=10),
    errors.NotReady: NOT_READY,
    errors.DocumentError: ProblemKind(422, "unreadable-document", "The document can not be read"),
    errors.EmptyDocument: ProblemKind(422, "empty-document", "The document has no content"),
    errors.UnsupportedMediaType: UNSUPPORTED_TYPE,
    errors.IndexDamaged: ProblemKind(503, "index-damaged", "The index is damaged", retry_after_s=60),
    errors.ModelError: ProblemKind(503, "model-unavailable", "A model can not be used", retry_after_s=30),
    errors.PromptTooLong: ProblemKind(422, "prompt-too-long", "The prompt is too long"),
}

_OF_STATUS = {
    kind.status: kind
    for kind in (MALFORMED, UNAUTHENTICATED, WRONG_SCOPE, NO_ROUTE, WRONG_METHOD, TOO_LARGE, UNSUPPORTED_TYPE)
}


def problem_of(error: errors.CorpusError) -> Problem:
    """Return the problem for an error of ours; one that the table lacks is an internal error."""
    for error_class in type(error).__mro__:
        if error_class in KINDS:
            detail = str(error) or KINDS[error_class].title
            return Problem(KINDS[error_class], detail, _named_field(error, KINDS[error_class]))
    return unexpected_problem()


def _named_field(error: errors.CorpusError, kind: ProblemKind) -> tuple[FieldProblem, ...]:
    """Return the field that the message of an `InvalidRequest` begins with, written as Pydantic's are."""
    named = _FIELD_FIRST.fullmatch(str(error)) if isinstance(error, errors.InvalidRequest) else None
    if named is None:
        return ()
    return (FieldProblem(_INDEX.sub(r".\1", named[1]), named[2], kind.slug.replace("-", "_")),)


def kind_named(slug: str) -> ProblemKind | None:
    """Return the kind of problem with this slug."""
    others = (NO_MODEL, RATE_LIMITED, INTERNAL, DATABASE_AWAY, DISK_FULL)
    kinds = (*KINDS.values(), *_OF_STATUS.values(), *others)
    return next((kind for kind in kinds if kind.slug == slug), None)


def unexpected_problem() -> Problem:
    """Return the problem for a fault of ours: it tells where to look and nothing of the inside."""
    return Problem(INTERNAL, f"The log has the details under request id {current_request_id()}.")


def problem_response(path: str, problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the response for a problem, in the form that the clients of `path` read."""
    sent = dict(headers or {})
    if problem.kind.retry_after_s is not None:
        sent.setdefault("Retry-After", str(problem.kind.retry_after_s))
    if _OPENAI_PATHS.fullmatch(path):
        return JSONResponse(openai_error(problem), problem.kind.status, sent)
    return JSONResponse(problem_document(problem), problem.kind.status, sent, media_type=PROBLEM_MEDIA_TYPE)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of the application with a problem."""
    app.add_exception_handler(errors.CorpusError, _answer_corpus_error)
    app.add_exception_handler(OperationalError, _answer_database_error)
    app.add_exception_handler(PoolTimeout, _answer_database_error)
    app.add_exception_handler(OSError, _answer_disk_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(StarletteHTTPException, _answer_http_exception)


async def _answer_corpus_error(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, errors.CorpusError):
        raise TypeError(f"{type(error).__name__} is no CorpusError") from error
    problem = problem_of(error)
    if problem.kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", type(error).__name__, error, exc_info=error)
    return problem_response(request.url.path, problem)


async def _answer_database_error(request: Request, error: Exception) -> JSONResponse:
    """The database is away, or other writers kept it for too long: worth another try, and no bug."""
    if getattr(getattr(error, "orig", None), "sqlite_errorname", "") == "SQLITE_FULL":
        return _disk_full(request, error)
    _log.error("the database does not answer", exc_info=error)
    return problem_response(request.url.path, Problem(DATABASE_AWAY, "Try again in some seconds."))


async def _answer_disk_error(request: Request, error: Exception) -> JSONResponse:
    """A full disk is nobody's bug, and its keeper can be told so; any other fault of the system is one."""
    if not isinstance(error, OSError) or error.errno not in _FULL:
        raise error
    return _disk_full(request, error)


def _disk_full(request: Request, error: Exception) -> JSONResponse:
    _log.error("the disk is full", exc_info=error)
    detail = "Free some space where the data folder or the temporary one is, then send it again."
    return problem_response(request.url.path, Problem(DISK_FULL, detail))


async def _answer_invalid_request(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError(f"{type(error).__name__} is no RequestValidationError") from error
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        reason = found[0].get("ctx", {}).get("error", found[0]["msg"])
        return problem_response(request.url.path, Problem(MALFORMED, f"The body is no valid JSON: {reason}."))
    return problem_response(request.url.path, invalid_fields(found))


async def _answer_http_exception(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, StarletteHTTPException):
        raise TypeError(f"{type(error).__name__} is no HTTPException") from error
    if isinstance(error, ProblemRaised):
        return problem_response(request.url.path, Problem(error.kind, error.detail), error.headers)
    status = HTTPStatus(error.status_code)
    kind = _OF_STATUS.get(status, ProblemKind(status, status.phrase.lower().replace(" ", "-"), status.phrase))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return problem_response(request.url.path, Problem(kind, kind.title + "."), _allow(request))
    detail = kind.title if error.detail in ("", status.phrase) else str(error.detail)
    return problem_response(request.url.path, Problem(kind, detail), error.headers)


def _allow(request: Request) -> dict[str, str]:
    """Name all methods of the path; Starlette knows those of one route alone."""
    path = getattr(request.scope.get("route"), "path", request.url.path)
    methods = request.app.openapi()["paths"].get(path, {})
    return {"Allow": ", ".join(sorted(method.upper() for method in methods)) or "GET"}


def invalid_fields(found: Sequence[Mapping[str, Any]]) -> Problem:
    """Return the problem that lists Pydantic's findings field by field."""
    # A field that may be null is tried as null too; that this fails as well says nothing new.
    telling = [item for item in found if item["type"] != "none_required"] or found
    fields = tuple(
        FieldProblem(field_path(_location(item)), item["msg"].removeprefix("Value error, "), item["type"])
        for item in telling
    )
    summary = "; ".join(
        f"{field.field}: {field.detail}" if field.field else field.detail for field in fields[:3]
    )
    return Problem(INVALID, summary, fields)


def _location(found: Mapping[str, Any]) -> Sequence[str | int]:
    """Return where a finding is; where a field tells which form a body has, at that field."""
    location: Sequence[str | int] = found["loc"]
    return (*location, found["ctx"]["field"]) if "field" in found.get("ctx", {}) else location


def field_path(location: Sequence[str | int]) -> str:
    """Return a field's path as its sender sees it.

    Left out are the part of the request that holds it, and the names of types that Pydantic adds where
    several are possible.
    """
    inside = location[1:] if location and location[0] in ("body", "query", "path", "header") else location
    return encodable(".".join(str(part) for part in inside if not _TYPE_NAME.search(str(part))))


class ProblemRaised(HTTPException):
    """A problem of HTTP alone, which no error of the domain stands for.

    An HTTPException, since FastAPI lets no other one out while it reads a body.
    """

    def __init__(self, kind: ProblemKind, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(kind.status, detail, headers)
        self.kind = kind


def body_too_large(limit: int) -> ProblemRaised:
    """Return the error for a body above its limit."""
    return ProblemRaised(TOO_LARGE, f"The body is larger than the limit of {limit:,} bytes.")


def problem_document(problem: Problem) -> dict[str, object]:
    """Return the problem as RFC 9457 has it."""
    document: dict[str, object] = {
        "type": PROBLEM_PATH + problem.kind.slug,
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "request_id": current_request_id(),
    }
    if problem.errors:
        document["errors"] = [
            {"field": field.field, "detail": field.detail, "code": field.code} for field in problem.errors
        ]
    return document


def openai_error(problem: Problem) -> dict[str, object]:
    """Return OpenAI's error object for a problem."""
    return {
        "error": {
            "message": problem.detail,
            "type": "invalid_request_error"
            if problem.kind.status < HTTPStatus.INTERNAL_SERVER_ERROR
            else "server_error",
            "param": next((each.field for each in problem.errors if each.field), None),
            "code": problem.kind.slug.replace("-", "_"),
        }
    }
