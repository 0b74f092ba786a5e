"""Public ids: a prefix that tells the kind, then 26 characters that sort by time of making."""

import secrets
import time
from typing import Literal

Prefix = Literal["col", "doc", "job", "ans", "gen", "key", "mod", "trc", "fbk", "dbs"]
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case
_CHUNK_PREFIX = "chk_"


def new_id(prefix: Prefix) -> str:
    """Return a fresh id such as ``doc_01jd…``: 48 bits of Unix milliseconds, then 80 random bits."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    digits = [_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5)]
    return f"{prefix}_{''.join(digits)}"


def chunk_public_id(number: int) -> str:
    """Return the public form of a chunk's primary key, which is also its id in the indexes."""
    return f"{_CHUNK_PREFIX}{number}"


def chunk_number(public_id: str) -> int:
    """Undo `chunk_public_id`.

    Raises:
        ValueError: the text is no chunk id.
    """
    if not public_id.startswith(_CHUNK_PREFIX):
        raise ValueError(f"{public_id!r} is no chunk id")
    return int(public_id.removeprefix(_CHUNK_PREFIX))
