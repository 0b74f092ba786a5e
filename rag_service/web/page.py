"""Serves the two pages, for people and for programmers, and what they load: package data, sent as it is."""

from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from rag_service.api.openapi import open_problems

router = APIRouter(tags=["web page"])

_FOLDER = Path(__file__).parent
_SWAGGER_UI = Path(str(files("fastapi_offline"))) / "static"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# What `default-src` does not stand for is named too: who may frame the page, where forms and links lead.
# With trusted types a browser refuses to turn any text into HTML, whatever the script says.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
# Swagger UI makes HTML and pictures by itself, out of `/openapi.json`, which is ours.
_SWAGGER_POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # the files of a page fit each other: none may be older than the others
}


@router.head("/", include_in_schema=False)  # what some watchers ask with
@router.get(
    "/",
    summary="The web page",
    response_class=HTMLResponse,
    responses={200: {"description": "The page."}, **open_problems()},
)
async def get_page() -> FileResponse:
    """Return a page that asks questions, shows the sources of answers, and takes in documents.

    It needs no key; what it asks of the API does, where keys are on.
    """
    return _file("page.html")


# The parts of the page are no operations of the API.
@router.get("/web/page.css", include_in_schema=False)
async def get_style() -> FileResponse:
    """Return how the page looks."""
    return _file("page.css")


@router.get("/web/page.js", include_in_schema=False)
async def get_script() -> FileResponse:
    """Return what the page does."""
    return _file("page.js")


@router.head("/docs", include_in_schema=False)
@router.get("/docs", include_in_schema=False)
async def get_docs() -> FileResponse:
    """Return the page that shows `/openapi.json`; it takes nothing from other places."""
    return _file("docs.html", policy=_SWAGGER_POLICY)


@router.get("/web/docs.js", include_in_schema=False)
async def get_docs_script() -> FileResponse:
    """Return what starts Swagger UI."""
    return _file("docs.js")


@router.get("/web/swagger-ui.css", include_in_schema=False)
async def get_swagger_style() -> FileResponse:
    """Return how Swagger UI looks."""
    return _file("swagger-ui.css", _SWAGGER_UI)


@router.get("/web/swagger-ui-bundle.js", include_in_schema=False)
async def get_swagger_script() -> FileResponse:
    """Return Swagger UI."""
    return _file("swagger-ui-bundle.js", _SWAGGER_UI)


def _file(name: str, folder: Path = _FOLDER, *, policy: str = _POLICY) -> FileResponse:
    path = folder / name
    headers = {**_HEADERS, "Content-Security-Policy": policy}
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=headers)
