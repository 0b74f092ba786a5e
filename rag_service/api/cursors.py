"""Paging: a cursor is the place of a page's last row, in a form that nobody is tempted to read."""

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from corpus.errors import InvalidCursor

DEFAULT_LIMIT = 20
MAX_LIMIT = 100
_PLACE = re.compile(r"[a-z]{3}_[0-9a-z]{1,36}")
_POSITION = re.compile(r"[0-9]{1,9}")

Row = TypeVar("Row")
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most how many rows.")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next_cursor` of the page before; none: the first page.")
]


def encode_cursor(place: str) -> str:
    """Return the cursor for the page after `place`."""
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def id_after(cursor: str | None) -> str | None:
    """Return the id after which a page begins; None: at the beginning.

    Raises:
        InvalidCursor: the cursor is none of ours.
    """
    return None if cursor is None else _decode(cursor, _PLACE)


def position_after(cursor: str | None) -> int:
    """Return the position after which a page begins; -1: at the beginning.

    Raises:
        InvalidCursor: the cursor is none of ours.
    """
    return -1 if cursor is None else int(_decode(cursor, _POSITION))


def cut_page(
    rows: Sequence[Row], limit: int, place: Callable[[Row], str | int]
) -> tuple[Sequence[Row], str | None]:
    """Return the first `limit` of `limit + 1` rows, and the cursor of the page that the last one begins."""
    page = rows[:limit]
    return page, encode_cursor(str(place(page[-1]))) if len(rows) > limit else None


def _decode(cursor: str, form: re.Pattern[str]) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        place = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, UnicodeError) as error:
        raise InvalidCursor("cursor: not one of ours; leave it out to begin at the first page.") from error
    if not form.fullmatch(place):
        raise InvalidCursor("cursor: not one of this list; leave it out to begin at the first page.")
    return place
