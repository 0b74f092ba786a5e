"""One rule for any text that leaves Python for a tokenizer or an index."""

import re

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """Return the text with each lone surrogate replaced by U+FFFD; offsets stay the same.

    JSON can bring half a surrogate pair, and no UTF-8 exists for it.
    """
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
