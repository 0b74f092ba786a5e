"""The web page is served complete, to everybody, under a policy that lets nothing else in."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from corpus.settings import Settings
from rag_service.api.schemas.answers import MAX_MESSAGES
from tests.integration.api.clients import assert_problem, running_service

FILES = {
    "/": "text/html; charset=utf-8",
    "/web/page.css": "text/css; charset=utf-8",
    "/web/page.js": "text/javascript; charset=utf-8",
    "/docs": "text/html; charset=utf-8",
    "/web/docs.js": "text/javascript; charset=utf-8",
    "/web/swagger-ui.css": "text/css; charset=utf-8",
    "/web/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
}
PAGES = ("/", "/docs")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that wants a key for everything that is not open."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), require_keys=True)
    with running_service(settings) as client:
        yield client


class Read(HTMLParser):
    """A page's tags with their attributes, and the text inside `script` and `style`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep it."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Keep the text of what is code."""
        if self.tags and self.cdata_elem in {"script", "style"}:
            self.inline += data.strip()

    def values(self, *names: str) -> list[str]:
        """Return the values of these attributes, wherever they stand."""
        return [attributes[name] or "" for _, attributes in self.tags for name in names if name in attributes]


@pytest.mark.parametrize("path", FILES)
def test_files_are_sent_with_their_type_and_policy(client: TestClient, path: str) -> None:
    """Each needs no key, and lets a browser load nothing that is not from the service itself."""
    response = client.get(path)
    assert response.status_code == 200
    assert response.headers["content-type"] == FILES[path]
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = response.headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'self'"
    assert "frame-ancestors 'none'" in policy
    assert not any("unsafe" in part or "http" in part for part in policy)


@pytest.mark.parametrize("path", PAGES)
def test_pages_answer_head(client: TestClient, path: str) -> None:
    """With what GET would say about itself, and without a body."""
    response = client.head(path)
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == client.get(path).headers["content-length"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_have_no_code_of_their_own(client: TestClient, path: str) -> None:
    """No inline script, style or handler, which the policy would refuse."""
    page = Read(client.get(path).text)
    assert not page.inline
    attributes = {name for _, found in page.tags for name in found}
    assert not [name for name in attributes if name == "style" or name.startswith("on")]


@pytest.mark.parametrize(
    ("page", "parts"),
    [
        ("/", {"web/page.css", "web/page.js", "docs", "openapi.json"}),
        ("/docs", {"web/swagger-ui.css", "web/swagger-ui-bundle.js", "web/docs.js", "openapi.json"}),
    ],
)
def test_what_pages_name_is_there(client: TestClient, page: str, parts: set[str]) -> None:
    """Scripts, styles and links are paths below the page's own: behind a proxy's prefix, and offline."""
    named = Read(client.get(page).text).values("src", "href")
    assert parts <= set(named)
    for path in named:
        assert not path.startswith(("/", "http"))
        assert client.get(f"/{path}").status_code == 200, path


def test_other_names_are_not_found(client: TestClient) -> None:
    """Nothing beside the page's files can be read."""
    assert_problem(client.get("/web/page.py"), 404)
    assert_problem(client.get("/web/..%2Fapp.py"), 404)
    assert_problem(client.post("/"), 405)


def test_the_script_makes_no_html_of_text(client: TestClient) -> None:
    """What documents and models say is only ever put in as text."""
    script = client.get("/web/page.js").text
    assert not re.findall(
        r"(?:inner|outer)HTML|insertAdjacentHTML|setHTML|document\.write|srcdoc|eval\(", script
    )


def test_a_conversation_is_sent_as_far_as_the_api_takes_it(client: TestClient) -> None:
    """With the question its turns are no more than a request may have, and begin with one of the user."""
    (most,) = re.findall(r"const MOST_TURNS = (\d+);", client.get("/web/page.js").text)
    assert int(most) + 1 <= MAX_MESSAGES
    assert int(most) % 2 == 0


def test_every_field_has_a_label(client: TestClient) -> None:
    """Each control for input is named by a label."""
    page = Read(client.get("/").text)
    fields = [found["id"] for tag, found in page.tags if tag in {"input", "select", "textarea"}]
    assert fields
    assert set(fields) <= set(page.values("for"))


def test_the_script_fits_the_page_and_the_api(client: TestClient) -> None:
    """Each id that the script asks for is in the page, and each route that it calls is in the API."""
    script = client.get("/web/page.js").text
    ids = set(re.findall(r'(?:byId|onSubmit)\("([^"]+)"', script))
    assert ids <= set(Read(client.get("/").text).values("id"))
    paths = client.get("/openapi.json").json()["paths"]
    called = {f"/{path}" for path in re.findall(r"[`\"](v1/\w+)", script)}
    assert called == {"/v1/answers", "/v1/collections", "/v1/documents"}
    assert called <= set(paths)
    assert "/" in paths
