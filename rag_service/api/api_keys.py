"""`/v1/admin/api_keys`."""

from typing import Annotated

from fastapi import APIRouter, Path

from corpus.errors import InvalidCursor, KeyNotFound
from rag_service import auth
from rag_service.api import errors
from rag_service.api.cursors import DEFAULT_LIMIT, Cursor, Limit, cut_page, id_after
from rag_service.api.dependencies import NO_NUL, ServiceDep, require
from rag_service.api.errors import KINDS
from rag_service.api.openapi import problems
from rag_service.api.schemas.api_keys import ApiKeyMade, ApiKeyOut, ApiKeyPage, NewApiKey

router = APIRouter(prefix="/v1/admin/api_keys", tags=["administration"], dependencies=[require("admin")])
KeyId = Annotated[str, Path(max_length=200, pattern=NO_NUL, description="A key's id.")]


@router.post(
    "",
    status_code=201,
    summary="Make an API key",
    responses=problems(errors.MALFORMED, errors.TOO_LARGE, errors.INVALID),
)
def create_key(new: NewApiKey, service: ServiceDep) -> ApiKeyMade:
    """Make a key and show it, this one time."""
    with service.database.write() as session:
        made = auth.create_key(session, name=new.name, scopes=new.scopes)
    return ApiKeyMade(**ApiKeyOut.model_validate(made.key).model_dump(), key=made.secret)


@router.get("", summary="List API keys", responses=problems(KINDS[InvalidCursor], errors.INVALID))
def list_keys(service: ServiceDep, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> ApiKeyPage:
    """Return the keys, oldest first, revoked ones too; never the keys themselves."""
    with service.database.read() as session:
        rows = auth.list_keys(session, limit=limit + 1, after=id_after(cursor))
    page, next_cursor = cut_page(rows, limit, lambda row: row.id)
    return ApiKeyPage(data=[ApiKeyOut.model_validate(row) for row in page], next_cursor=next_cursor)


@router.delete(
    "/{key_id}",
    summary="Revoke an API key",
    responses=problems(KINDS[KeyNotFound], errors.INVALID),
)
def revoke_key(key_id: KeyId, service: ServiceDep) -> ApiKeyOut:
    """Make a key useless from this moment on; it stays in the list."""
    with service.database.write() as session:
        return ApiKeyOut.model_validate(auth.revoke_key(session, key_id))
