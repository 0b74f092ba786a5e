"""Text as it stands: plain text, YAML, source code."""

from corpus.chunks import ParsedDocument
from indexer.parsing.cleaning import clean, decode


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Keep the text, changed only where it must be (`clean`)."""
    return ParsedDocument(clean(decode(data)), media_type)
