"""JSON and NDJSON: the source is the text; what is packed into one line or escaped is spread out."""

import json

from corpus.chunks import ParsedDocument
from corpus.errors import DamagedDocument, UnsafeDocument
from indexer.parsing import media_types
from indexer.parsing.cleaning import clean, decode

_LONG_LINE = 2_000  # characters


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Keep the text if people can read it, else print the same value anew.

    Raises:
        DamagedDocument: it is no JSON.
        UnsafeDocument: it nests without end.
    """
    text = clean(decode(data))
    values = text.split("\n") if media_type == media_types.NDJSON else [text]
    try:
        parsed = [json.loads(value) for value in values if value.strip()]
    except ValueError as error:
        raise DamagedDocument(f"The text is no JSON: {error}") from error
    except RecursionError as error:
        raise UnsafeDocument("The JSON is nested too deeply to be read.") from error
    if "\\u" in text or max(map(len, text.split("\n"))) > _LONG_LINE:
        text = "\n\n".join(clean(json.dumps(value, ensure_ascii=False, indent=1)) for value in parsed)
    return ParsedDocument(text, media_type)
