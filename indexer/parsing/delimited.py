"""CSV and TSV: a row is a record with its header."""

import csv
import re
from io import StringIO

from corpus.chunks import ParsedDocument
from indexer.parsing import media_types
from indexer.parsing.cleaning import clean, decode
from indexer.parsing.writing import TextWriter, write_records

_DELIMITERS = ",;\t|"
_TOLD = re.compile(r"\"?sep=([,;\t|])\"?\n", re.IGNORECASE)  # a line for Excel above the header
_SNIFFED_LINES = 20
_LARGEST_FIELD = 2**31 - 1


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read the rows; the first names the fields. Nothing is evaluated."""
    csv.field_size_limit(_LARGEST_FIELD)
    text = clean(decode(data))
    told = _TOLD.match(text)
    if told:
        text, delimiter = text[told.end() :], told[1]
    else:
        delimiter = "\t" if media_type == media_types.TSV else _delimiter(text)
    rows = [row for row in csv.reader(StringIO(text, newline=""), delimiter=delimiter) if any(row)]
    writer = TextWriter()
    if rows:
        write_records(writer, rows)
    return writer.finish(media_type)


def _delimiter(text: str) -> str:
    """Return the delimiter that gives the first rows the most fields, the same number in each."""
    lines = text.split("\n", _SNIFFED_LINES)[:_SNIFFED_LINES]

    def regularity(delimiter: str) -> tuple[bool, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter) if row]
        return len(set(widths)) == 1 and widths[0] > 1, max(widths, default=0)

    return max(_DELIMITERS, key=regularity)
