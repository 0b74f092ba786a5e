"""Passages for tests."""

from rag_service.retrieval.passages import Passage, Scores


def passage(
    chunk_id: int, text: str, *, document_id: str = "doc_1", start: int = 0, position: int = 0
) -> Passage:
    """Return a passage whose text stands at `start` of its document."""
    return Passage(
        chunk_id=chunk_id,
        document_id=document_id,
        external_id=None,
        document_title="Title",
        document_version=1,
        collection_id="col_1",
        text=text,
        page=None,
        start=start,
        end=start + len(text),
        heading_path=(),
        metadata={},
        scores=Scores(dense=None, lexical=None, fused=0.0),
        chunking="fake/64/8",
        position=position,
    )
