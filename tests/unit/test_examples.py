"""The demo corpus and its questions are what examples/README.md says."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from corpus.chunks import ParsedDocument
from examples.make_documents import make_documents
from indexer.parsing import parse_document
from rag_service.answering.calculator import calculate
from rag_service.evaluation.measures import contains_gold
from rag_service.evaluation.questions import Question, read_questions

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CORPUS = sorted((EXAMPLES / "corpus").iterdir())
QUESTIONS = read_questions(EXAMPLES / "questions.jsonl")
ANSWERABLE = [question for question in QUESTIONS if question.answerable]
SUMS = [question for question in QUESTIONS if question.expression]


@cache
def parsed(name: str) -> ParsedDocument:
    """Read one document of the corpus."""
    return parse_document((EXAMPLES / "corpus" / name).read_bytes(), filename=name)


def one_line(text: str) -> str:
    """Return the text with all white space as single spaces."""
    return " ".join(text.split())


def by_id(question: Question) -> str:
    """Name a test case."""
    return question.id


def test_the_corpus_has_all_five_formats() -> None:
    """At least two documents of each format, none large."""
    formats = Counter(path.suffix for path in CORPUS)
    assert formats.keys() == {".txt", ".md", ".html", ".pdf", ".docx"}
    assert min(formats.values()) >= 2
    assert max(path.stat().st_size for path in CORPUS) < 200_000


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_document_is_read_with_its_structure(path: Path) -> None:
    """A few hundred words each; headings where the format has them, pages in PDFs."""
    document = parsed(path.name)
    assert 400 <= len(document.text.split()) <= 1500
    assert path.suffix == ".txt" or len(document.headings) >= 4
    assert path.suffix != ".pdf" or len(document.pages) >= 2


def test_pdf_and_docx_files_are_made_from_their_sources(tmp_path: Path) -> None:
    """The script makes the committed files' texts."""
    made = make_documents(tmp_path)
    assert {path.name for path in made} == {path.name for path in CORPUS if path.suffix in {".pdf", ".docx"}}
    for path in made:
        text = parse_document(path.read_bytes(), filename=path.name).text
        assert text == parsed(path.name).text, path.name


def test_there_are_sixty_questions_of_five_kinds() -> None:
    """Ids are their own; the kinds are as described."""
    assert len({question.id for question in QUESTIONS}) == len(QUESTIONS)
    assert Counter(question.kind for question in QUESTIONS) == {
        "single": 26,
        "two_passage": 8,
        "unanswerable": 14,
        "follow_up": 6,
        "arithmetic": 6,
    }


@pytest.mark.parametrize("question", ANSWERABLE, ids=by_id)
def test_gold_quotes_stand_in_their_documents(question: Question) -> None:
    """Each quote is found once in the text that the service would serve, but for white space."""
    assert question.evidence
    for evidence in question.evidence:
        assert one_line(parsed(evidence.document).text).count(evidence.quote) == 1


@pytest.mark.parametrize("question", ANSWERABLE, ids=by_id)
def test_answers_follow_from_their_quotes(question: Question) -> None:
    """One quote holds a gold answer, unless it has to be calculated."""
    quotes = [evidence.quote for evidence in question.evidence]
    assert question.expression or any(contains_gold(quote, question.answers) for quote in quotes)


def test_unanswerable_questions_have_no_gold() -> None:
    """Exactly the near misses are without answers and without evidence."""
    for question in QUESTIONS:
        assert question.answerable == (question.kind != "unanswerable")
        assert question.answerable == bool(question.evidence)


def test_follow_ups_have_a_history() -> None:
    """Exactly they begin before the question."""
    assert all((len(question.messages) > 1) == (question.kind == "follow_up") for question in QUESTIONS)


@pytest.mark.parametrize("question", SUMS, ids=by_id)
def test_sums_come_out_and_are_told_nowhere(question: Question) -> None:
    """The service's calculator gives the answer, and no document states it."""
    assert question.expression is not None
    result = calculate(question.expression).result
    assert contains_gold(result, question.answers)
    stated = re.compile(
        rf"(?<![\d.,])(?:{re.escape(f'{float(result):,g}')}|{re.escape(result)})(?![\d.,]*\d)"
    )
    assert not [path.name for path in CORPUS if stated.search(parsed(path.name).text)]


def test_the_demo_asks_questions_of_the_set() -> None:
    """One with an answer, one without, one sum."""
    asked = (EXAMPLES / "demo.txt").read_text(encoding="utf-8").splitlines()
    kinds = {question.text: question.kind for question in QUESTIONS}
    assert [kinds[line] for line in asked] == ["single", "unanswerable", "arithmetic"]
