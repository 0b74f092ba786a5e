"""How documents are cut into chunks."""

import re
import time
from itertools import pairwise

import pytest

from corpus.chunks import ChunkSpan, Heading, PageSpan, ParsedDocument
from indexer.chunking import split_into_chunks
from tests.unit.indexer.tokens import word_spans

SENTENCE = "The pump moves nine litres of water."  # 8 tokens


def chunks_of(
    document: ParsedDocument, *, title: str = "", max_tokens: int = 64, overlap: int = 8
) -> list[ChunkSpan]:
    """Cut with one token a word."""
    return split_into_chunks(
        document, title=title, token_spans=word_spans, max_tokens=max_tokens, overlap=overlap
    )


def plain(text: str) -> ParsedDocument:
    """Return a document without structure."""
    return ParsedDocument(text, "text/plain")


def markdown(text: str) -> ParsedDocument:
    """Return a document with the headings that its lines of # are."""
    headings = tuple(
        Heading(match.start(), len(match[1]), match[2])
        for match in re.finditer(r"^(#+) (.*)$", text, flags=re.MULTILINE)
    )
    return ParsedDocument(text, "text/markdown", headings=headings)


def test_short_document_is_one_chunk() -> None:
    """A document that fits is one chunk, without the white space around it."""
    (chunk,) = chunks_of(plain("  \nThe station is cold.\n\n"))
    assert (chunk.text, chunk.start, chunk.end, chunk.position) == ("The station is cold.", 3, 23, 0)


@pytest.mark.parametrize("text", ["", " \n\t\u3000 "])
def test_white_space_makes_no_chunk(text: str) -> None:
    """Nothing but white space makes no chunks."""
    assert chunks_of(plain(text)) == []


def test_sections_are_chunks_of_their_own() -> None:
    """A heading begins a new chunk, and the chunk carries the path of headings above it."""
    body = SENTENCE + " " + SENTENCE
    text = f"# Station\n\n{body}\n\n## Fuel\n\n{body}\n\n## Food\n\n{body}\n\n# Ship\n\n{body}\n"
    assert [chunk.heading_path for chunk in chunks_of(markdown(text))] == [
        ("Station",),
        ("Station", "Fuel"),
        ("Station", "Food"),
        ("Ship",),
    ]


def test_bare_heading_stays_with_the_section_below() -> None:
    """A heading without text is no chunk of its own."""
    text = f"# Station\n\n## Fuel\n\n{SENTENCE} {SENTENCE}"
    (chunk,) = chunks_of(markdown(text))
    assert chunk.text == text
    assert chunk.heading_path == ("Station", "Fuel")


def test_tiny_neighbours_are_joined() -> None:
    """Sections of a few words share a chunk, under the headings that they have in common."""
    text = "# Prices\n\n" + "\n\n".join(f"## Item {number}\n\n{number} kr." for number in range(4))
    chunks = chunks_of(markdown(text), max_tokens=256)
    assert len(chunks) == 1
    assert chunks[0].heading_path == ("Prices",)


def test_long_section_is_cut_into_equal_parts() -> None:
    """A section a little too long becomes two halves, not one full chunk and a remnant."""
    counts = [chunk.token_count for chunk in chunks_of(plain(" ".join([SENTENCE] * 9)), overlap=0)]
    assert len(counts) == 2
    assert max(counts) - min(counts) <= 10


def test_cuts_prefer_paragraphs() -> None:
    """Near the ideal place, a paragraph's end wins over a sentence's."""
    paragraph = " ".join([SENTENCE] * 4)
    chunks = chunks_of(plain(f"{paragraph} {SENTENCE}\n\n{paragraph}"), overlap=0)
    assert [chunk.text for chunk in chunks] == [f"{paragraph} {SENTENCE}", paragraph]


def test_overlap_is_whole_sentences() -> None:
    """A chunk begins with the sentences at the end of the one before that fit the overlap."""
    text = " ".join(f"Sentence number {number} stands here." for number in range(40))
    chunks = chunks_of(plain(text), overlap=14)
    assert len(chunks) > 2
    for before, after in pairwise(chunks):
        shared = text[after.start : before.end]
        assert re.fullmatch(r"(Sentence number \d+ stands here\. ?){2}", shared)


def test_no_overlap_across_headings() -> None:
    """What stands under one heading is never repeated under another."""
    text = "".join(f"## Part {number}\n\n{' '.join([SENTENCE] * 12)}\n\n" for number in range(3))
    chunks = chunks_of(markdown(text))
    for before, after in pairwise(chunks):
        assert before.end > after.start or before.heading_path != after.heading_path
        assert before.end <= after.start or before.heading_path == after.heading_path


def test_title_and_headings_count() -> None:
    """The room for text shrinks by the tokens of title and headings."""
    text = " ".join([SENTENCE] * 30)
    alone = chunks_of(plain(text), overlap=0)
    titled = chunks_of(plain(text), overlap=0, title="A title of seven words in all")
    assert max(len(chunk.text) for chunk in titled) < max(len(chunk.text) for chunk in alone)
    assert max(chunk.token_count for chunk in titled) <= 64


def test_page_is_where_the_chunk_begins() -> None:
    """A chunk's page is the page of its first character."""
    first, second = " ".join([SENTENCE] * 6), " ".join([SENTENCE] * 6)
    text = f"{first}\n\n{second}"
    pages = (PageSpan(0, len(first) + 2, 1), PageSpan(len(first) + 2, len(text), 2))
    chunks = chunks_of(ParsedDocument(text, "application/pdf", pages=pages), overlap=0)
    assert [chunk.page for chunk in chunks] == [1, 2]


def test_document_without_pages_has_no_page() -> None:
    """Formats without pages give no page numbers."""
    assert chunks_of(plain("One word."))[0].page is None


def test_wide_gap_parts_chunks() -> None:
    """Two words with a sea of white space between them do not make one giant chunk."""
    chunks = chunks_of(plain("one" + " " * 5_000 + "two"))
    assert [chunk.text for chunk in chunks] == ["one", "two"]


def test_word_without_end_is_cut() -> None:
    """A word of 100,000 letters, one unknown token, becomes chunks of bearable length."""
    chunks = chunks_of(plain("a" * 100_000))
    assert "".join(chunk.text for chunk in chunks) == "a" * 100_000
    assert max(len(chunk.text) for chunk in chunks) < 1_000


def test_time_is_linear_in_the_length() -> None:
    """Eight times the text takes about eight times the time, one line or not."""

    def seconds(words: int) -> float:
        begin = time.perf_counter()
        chunks_of(plain("lorem ipsum dolor sit amet " * words), max_tokens=256, overlap=32)
        return time.perf_counter() - begin

    small = min(seconds(2_000) for _ in range(3))
    assert seconds(16_000) < 24 * small
