"""What routes are given, and who may use them."""

import math
from typing import Annotated, Any

import anyio
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from rag_service.api.errors import RATE_LIMITED, UNAUTHENTICATED, WRONG_SCOPE, ProblemRaised
from rag_service.auth import KeyView, Scope, allows, find_key
from rag_service.service import Service

NO_NUL = r"^[^\x00]*$"  # what PostgreSQL takes as a text
_bearer = HTTPBearer(
    auto_error=False, scheme_name="API key", description="Needed where `RAG_REQUIRE_KEYS` is on."
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]


async def get_service(request: Request) -> Service:
    """Return the application's parts."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def require(scope: Scope) -> Any:  # noqa: ANN401 - FastAPI's own type for what Depends returns
    """Return the dependency that lets callers with this scope pass."""

    async def check(request: Request, service: ServiceDep, credentials: Credentials) -> None:
        await _check(request, service, credentials, scope)

    return Depends(check)


def guard_documents() -> Any:  # noqa: ANN401 - same
    """Return the dependency that needs `documents:read` for GET and `documents:write` for the rest."""

    async def check(request: Request, service: ServiceDep, credentials: Credentials) -> None:
        reads = request.method in ("GET", "HEAD")
        await _check(request, service, credentials, "documents:read" if reads else "documents:write")

    return Depends(check)


def require_also(request: Request, service: Service, scope: Scope) -> None:
    """Let a caller pass whose key has a further scope, which only what is asked about tells.

    Raises:
        ProblemRaised: it has not; a 403.
    """
    if service.require_keys and not allows(request.state.scopes, scope):
        raise _wrong_scope(scope)


async def _check(
    request: Request, service: Service, credentials: HTTPAuthorizationCredentials | None, scope: Scope
) -> None:
    caller = request.client.host if request.client else "unknown"
    if service.require_keys:
        key = await anyio.to_thread.run_sync(_authenticate, service, credentials)
        if not allows(key.scopes, scope):
            raise _wrong_scope(scope)
        caller = request.state.caller = key.id
        request.state.scopes = key.scopes
    if service.rate_limit is not None:
        wait_s = service.rate_limit.wait_s(caller)
        if wait_s:
            raise ProblemRaised(
                RATE_LIMITED,
                f"Too many requests a minute; try again in {wait_s:.1f} s.",
                {"Retry-After": str(math.ceil(wait_s))},
            )


def _wrong_scope(scope: Scope) -> ProblemRaised:
    return ProblemRaised(WRONG_SCOPE, f"This needs a key with the scope {scope!r}.")


def _authenticate(service: Service, credentials: HTTPAuthorizationCredentials | None) -> KeyView:
    if credentials is not None:
        with service.database.read() as session:
            key = find_key(session, credentials.credentials)
        if key is not None:
            return key
    detail = "Send an API key as `Authorization: Bearer …`; `rag keys create` makes one."
    raise ProblemRaised(UNAUTHENTICATED, detail, {"WWW-Authenticate": "Bearer"})
