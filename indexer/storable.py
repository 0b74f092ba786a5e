"""Characters that the databases can not keep: PostgreSQL refuses NUL, UTF-8 has no lone surrogates."""

import re

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_REPLACEMENT = "\ufffd"


def is_storable(text: str) -> bool:
    """Tell whether both databases keep this text as it is."""
    return _UNSTORABLE.search(text) is None


def storable(text: str) -> str:
    """Return the text with U+FFFD in place of each character that can not be kept; its length stays."""
    return _UNSTORABLE.sub(_REPLACEMENT, text)
