"""On which page of its document a citation's quote begins."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import select, tuple_

from corpus.database import Database
from corpus.models import DocumentVersion
from rag_service.answering.citations import Citation


def on_their_pages(database: Database, citations: Sequence[Citation]) -> tuple[Citation, ...]:
    """Return the citations, each with the page of its quote.

    What a search brings is the page on which a passage begins, and the quote may stand on a later one. The
    pages of a document lie behind its text, which is long, so they are read for what is cited alone, once
    there is an answer, and in no search. Of a version that was replaced meanwhile the passage's page stays.
    """
    versions = {_version_of(each) for each in citations if each.page is not None}
    if not versions:
        return tuple(citations)
    key = (DocumentVersion.document_id, DocumentVersion.version)
    with database.read() as session:
        rows = session.execute(select(*key, DocumentVersion.pages).where(tuple_(*key).in_(versions))).all()
    pages = {(document_id, version): spans for document_id, version, spans in rows}
    return tuple(
        replace(each, page=page_at(pages[_version_of(each)], each.source_start))
        if _version_of(each) in pages
        else each
        for each in citations
    )


def page_at(spans: Sequence[Mapping[str, Any]], start: int) -> int | None:
    """Return the number of the page that holds character `start`, or of the next one.

    `spans` are ordered ``{"start", "end", "number"}``, as `DocumentVersion.pages` has them.
    """
    return next((span["number"] for span in spans if span["end"] > start), None)


def _version_of(citation: Citation) -> tuple[str, int]:
    return citation.passage.document_id, citation.passage.document_version
