"""The pages' scripts in Chromium, where it is installed; they make no difference to other browsers."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import httpx2
import pytest

from corpus.settings import Settings
from rag_service.api.schemas.answers import MAX_MESSAGES
from rag_service.app import Models
from tests.browser import Browser, chromium
from tests.fakes import FakeChatModel, FakeEmbedder
from tests.integration.api.clients import listening_service

HOSTILE = "<img src=x onerror='hacked = 1'> & <b>Machines</b>"
TEXT = "Orson Kovacs keeps <script>hacked = 1</script><img src=x onerror='hacked = 1'> diesel generators."
QUESTION = "Who keeps the diesel generators?"

pytestmark = pytest.mark.skipif(chromium() is None, reason="Chromium is not installed")


class Place(NamedTuple):
    """A page in a browser, and the service that it is of."""

    browser: Browser
    url: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A service with one document, and a browser that can reach nothing else."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    with listening_service(settings, Models(FakeEmbedder, FakeChatModel)) as (url, service):
        made = httpx2.post(f"{url}/v1/documents", json={"text": TEXT, "title": HOSTILE}).json()
        service.worker.get().worker.wait(made["job"]["id"], timeout_s=20)
        browser = Browser(chromium() or "", tmp_path_factory.mktemp("browser"))
        try:
            yield Place(browser, url)
        finally:
            browser.close()


def ask(question: str) -> str:
    """Return the expression that asks."""
    form = "document.getElementById('question-form')"
    return f"{form}.elements.question.value = {json.dumps(question)}, {form}.requestSubmit()"


def test_an_answer_shows_the_sentence_it_rests_on(place: Place) -> None:
    """Its marker opens the quote in the document; what documents say is text, whatever it looks like."""
    browser = place.browser
    browser.open(f"{place.url}/")
    assert HOSTILE in browser.wait_for("document.querySelector('#documents li')?.innerText")
    browser.run(ask(QUESTION))
    browser.wait_for("document.querySelector('.turn .text a')?.innerText === '[1]'")
    assert TEXT.removesuffix(".") in browser.run("document.querySelector('.turn .text').textContent")
    browser.run("document.querySelector('.turn .text a').click()")
    assert browser.wait_for("document.querySelector('.source mark')?.textContent") == TEXT
    assert HOSTILE in browser.run("document.querySelector('.source h4').textContent")
    assert browser.run("typeof hacked") == "undefined"
    assert browser.run("document.querySelectorAll('main img, main script, main b').length") == 0
    assert [each for each in browser.problems if "404" not in each] == []  # there is no favicon


def test_a_long_conversation_goes_on(place: Place) -> None:
    """The oldest turns are not sent any more, each question with its answer: too many, or too long ones."""
    browser = place.browser
    browser.open(f"{place.url}/")
    browser.wait_for("document.querySelector('#documents li') !== null")
    answer = {"answer": "Yes.", "citations": [], "tool_calls": [], "timings_ms": {"total": 1}, "model": "m"}
    browser.run(
        f"""window.fetch = async (_path, {{ body }}) => {{
          sent.push(body);
          return new Response(`event: done\\ndata: ${{JSON.stringify({json.dumps(answer)})}}\\n\\n`);
        }};
        window.sent = [];
        window.askOften = async (count, question) => {{
          for (let number = 0; number < count; number++) {{
            document.getElementById("question").value = question;
            document.getElementById("question-form").requestSubmit();
            while (document.getElementById("ask").disabled) await new Promise((go) => setTimeout(go));
          }}
        }};
        0"""
    )
    browser.run("askOften(105, 'Who?')")
    browser.run("askOften(6, '\\u0001'.repeat(31_999) + '?')")
    sent = browser.run(
        """sent.map((body) => [body, JSON.parse(body).messages])
          .map(([body, turns]) => [new Blob([body]).size, turns.length, turns[0].role, turns.at(-1).role])"""
    )
    assert [turns for _, turns, *_ in sent[:105]] == [min(2 * n + 1, MAX_MESSAGES - 1) for n in range(105)]
    assert {tuple(roles) for _, _, *roles in sent} == {("user", "user")}
    assert len(sent) == 111
    assert max(size for size, *_ in sent) < 1024 * 1024


def test_the_api_is_described_without_a_network(place: Place) -> None:
    """Every operation is shown, and the policy lets the page do what it does."""
    browser = place.browser
    browser.open(f"{place.url}/docs")
    browser.wait_for("document.querySelectorAll('.opblock').length > 40")
    browser.run("document.querySelector('.opblock-summary-control').click()")
    browser.wait_for("document.querySelector('.opblock-body') !== null")
    assert [each for each in browser.problems if "404" not in each] == []  # there is no favicon
