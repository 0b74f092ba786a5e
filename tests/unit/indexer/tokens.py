"""Tokenizers for the tests of chunking."""

import re

_WORD = re.compile(r"\w+|[^\w\s]")
_PIECE = 3


def word_spans(text: str) -> list[tuple[int, int]]:
    """Return one token a word or mark."""
    return [match.span() for match in _WORD.finditer(text)]


def piece_spans(text: str) -> list[tuple[int, int]]:
    """Return tokens as awkward as real ones get.

    Words up to ten letters are cut into pieces of three from the left, so that a cut inside a word
    changes the pieces; longer ones are one token; zero-width characters have none; characters
    beyond the basic plane have two tokens of the same span.
    """
    spans = []
    for start, end in word_spans(text):
        if ord(text[start]) > 0xFFFF:
            spans += [(start, end), (start, end)]
        elif end - start > 10:
            spans.append((start, end))
        elif text[start:end].strip("\u200b\u200d\ufeff"):
            spans += [(at, min(at + _PIECE, end)) for at in range(start, end, _PIECE)]
    return spans
