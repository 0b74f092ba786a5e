"""Value types that the indexer makes and the service reads: parsed documents, chunkings, chunks."""

from collections.abc import Sequence
from dataclasses import dataclass

PLACE_WIDTH = 200  # of title and headings, in `_width`: a fifth of 256 tokens in English, a third in Chinese


@dataclass(frozen=True, slots=True)
class PageSpan:
    """Characters `start` to `end` of the text are page `number` (from 1)."""

    start: int
    end: int
    number: int


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading begins at character `start`; `level` 1 is the outermost."""

    start: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """One plain text for the whole document, and its structure as spans of that text.

    `pages` and `headings` are in order of `start`; pages do not overlap.
    """

    text: str
    media_type: str
    title: str | None = None
    pages: tuple[PageSpan, ...] = ()
    headings: tuple[Heading, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunking:
    """How texts are cut: by which tokenizer, at most how many tokens, how many of them twice."""

    tokenizer: str
    max_tokens: int
    overlap: int

    @property
    def key(self) -> str:
        """The form that the database keeps, such as ``all-MiniLM-L6-v2/256/32``."""
        return f"{self.tokenizer}/{self.max_tokens}/{self.overlap}"

    @classmethod
    def from_key(cls, key: str) -> "Chunking":
        """Undo `key`.

        Raises:
            ValueError: the text is no chunking key.
        """
        tokenizer, max_tokens, overlap = key.rsplit("/", 2)
        return cls(tokenizer, int(max_tokens), int(overlap))


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """A span of one document's text: ``document.text[start:end] == text``."""

    position: int
    start: int
    end: int
    text: str
    page: int | None
    heading_path: tuple[str, ...]
    token_count: int


def embedded_text(title: str, heading_path: Sequence[str], text: str) -> str:
    """Return what stands for a chunk in both indexes: its place in the document, then its text.

    A chunk alone often lacks its subject ("It burns 14 litres an hour"); title and headings name it.
    The place is cut to a fixed width, so that long titles leave the embedder room for the text:
    the outer headings go first, then the ends of the title and of the innermost heading.
    """
    place = " > ".join(_fitting_parts([title, *heading_path]))
    return f"{place}\n{text}" if place else text


def _fitting_parts(parts: Sequence[str]) -> list[str]:
    named: list[str] = []
    for part in parts:
        line = " ".join(part[: 4 * PLACE_WIDTH].split())
        if line and line not in named[-1:]:  # the first heading often repeats the title
            named.append(line)
    while len(named) > 2 and sum(map(_width, named)) > PLACE_WIDTH:  # noqa: PLR2004 - title and last heading
        del named[1]
    if sum(map(_width, named)) <= PLACE_WIDTH:
        return named
    return [_cut(part, PLACE_WIDTH // len(named)) for part in named]


def _width(text: str) -> int:
    """Estimate tokens, as a multiple: ASCII words have about four letters a token, other scripts one."""
    return sum(
        1 if character.isascii() and (character.isalnum() or character == " ") else 3 for character in text
    )


def _cut(text: str, width: int) -> str:
    end = 0
    for character in text:
        width -= _width(character)
        if width < 0:
            break
        end += 1
    return text[:end].rstrip()
