"""Serves the page and the two files that it loads; they are package data, sent as they are."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from rag_service.api.openapi import open_problems

router = APIRouter(tags=["web page"])

_FOLDER = Path(__file__).parent
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
# What `default-src` does not stand for is named too: who may frame the page, where forms and links lead.
# With trusted types a browser refuses to turn any text into HTML, whatever the script says.
_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",  # the three files fit each other: none may be older than the others
}


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


def _file(name: str) -> FileResponse:
    path = _FOLDER / name
    return FileResponse(path, media_type=_TYPES[path.suffix], headers=_HEADERS)
