"""Bytes to `ParsedDocument`: one function a media type, all behind `parse_document`.

What comes from users is parsed by `indexer.parsing.sandbox.ParserPool`, in processes that can be
killed; `parse_document` itself runs in this process and trusts its input to end.
"""

from indexer.parsing.media_types import detect_media_type
from indexer.parsing.reading import parse_document, refuse_unread

__all__ = ["detect_media_type", "parse_document", "refuse_unread"]
