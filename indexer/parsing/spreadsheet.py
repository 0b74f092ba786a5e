"""XLSX, XLSB, XLS and ODS: a sheet is a heading and its rows."""

import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from corpus.chunks import ParsedDocument
from corpus.errors import DamagedDocument, EncryptedDocument
from indexer.parsing import media_types
from indexer.parsing.writing import TextWriter, write_sheet
from indexer.parsing.zipped import open_zip

Value = str | float | bool | date | datetime | time | timedelta


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read all sheets, values only: formulas stand as what they came to, or as text.

    Raises:
        EncryptedDocument: a password is needed.
    """
    if media_type != media_types.XLS:
        open_zip(data).close()
    writer = TextWriter()
    try:
        for name, rows in _sheets(data):
            writer.heading(1, name)
            write_sheet(writer, rows)
    except PasswordError as error:
        raise EncryptedDocument("The workbook is encrypted; save it without a password.") from error
    except CalamineError as error:
        raise DamagedDocument(f"The workbook can not be read: {error}") from error
    return writer.finish(media_type)


def _sheets(data: bytes) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield name and rows of each sheet that has anything in it."""
    workbook = CalamineWorkbook.from_filelike(io.BytesIO(data))
    for name in workbook.sheet_names:
        rows = [[_text(value) for value in row] for row in workbook.get_sheet_by_name(name).iter_rows()]
        filled = [row for row in rows if any(row)]
        if filled:
            yield name, filled


def _text(value: Value) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() else value.date().isoformat()
    return str(value).strip()
