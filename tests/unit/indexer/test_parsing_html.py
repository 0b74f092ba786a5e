"""How HTML is read."""

import pytest

from corpus.chunks import Heading
from indexer.parsing import parse_document


def text_of(markup: str) -> str:
    """Return what a reader sees."""
    return parse_document(f"<html><body>{markup}</body></html>".encode(), filename=None).text


def test_blocks_and_headings() -> None:
    """Headings and paragraphs are blocks; inline marks leave no trace; the title is the page's."""
    head = b"<html><head><title> A \n page </title></head>"
    data = head + b"<body><h1>Top</h1><p>Some <b>bold</b>\n text<h2>Next</h2>end"
    document = parse_document(data, filename=None)
    assert document.text == "Top\n\nSome bold text\n\nNext\n\nend"
    assert document.title == "A page"
    assert document.headings == (Heading(0, 1, "Top"), Heading(21, 2, "Next"))


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>var secret</script>",
        "<style>secret</style>",
        "<template>secret</template>",
        "<div style='display:none'>secret<p>more</div>",
        '<p style="color:red; DISPLAY : none">secret</p>',
        "<p style='visibility: hidden'>secret</p>",
        "<p hidden>secret</p>",
        "<!-- secret -->",
        "<svg><text>secret</text></svg>",
        "<select><option>secret</select>",
    ],
)
def test_hidden_text_is_left_out(hidden: str) -> None:
    """What no reader sees is not indexed; what follows is."""
    assert text_of(f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter"


def test_lists() -> None:
    """Items are lines, marked, indented by depth."""
    assert (
        text_of("<ul><li>a<li>b<ol><li>c</li><li>d</li></ol><li><p>e</p></ul>")
        == "- a\n- b\n  1. c\n  2. d\n- e"
    )


def test_table_rows_are_lines() -> None:
    """A row is a line of cells parted by tabs."""
    markup = "<table><tr><th>Name<th>Price<tr><td>Pump<br>A<td>30</table><p>after"
    assert text_of(markup) == "Name\tPrice\nPump A\t30\n\nafter"


def test_layout_table_is_blocks() -> None:
    """A table that holds the page itself does not press it into one line."""
    markup = f"<table><tr><td><h1>Top</h1><p>{'word ' * 60}</p><p>second</p></td></tr></table>"
    assert text_of(markup) == f"Top\n\n{('word ' * 60).strip()}\n\nsecond"


def test_preformatted_text_keeps_its_lines() -> None:
    """White space inside pre is kept."""
    assert text_of("<pre>\n  a\n    b\n</pre>") == "a\n    b"


def test_line_breaks() -> None:
    """A break is a line break inside its paragraph."""
    assert text_of("<p>one<br>two</p>") == "one\ntwo"


def test_entities() -> None:
    """Character references are characters."""
    assert text_of("<p>3&nbsp;&euro; &lt;b&gt; &#8211; x") == "3 € <b> \u2013 x"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="windows-1251">', "cp1251"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=iso-8859-1">', "cp1252"),
        ("", "utf-8"),
    ],
)
def test_declared_encoding_holds(head: str, encoding: str) -> None:
    """The page's own word on its encoding is believed."""
    text = "Привет" if encoding == "cp1251" else "10 € für Größe"
    data = f"<html><head>{head}</head><body><p>{text}</p></body></html>".encode(encoding)
    assert parse_document(data, filename=None).text == text


def test_wide_page_is_read() -> None:
    """A page in UTF-16 is read, whatever it says of itself."""
    data = '<html><head><meta charset="utf-8"></head><body>Größe</body></html>'.encode("utf-16")
    assert parse_document(data, filename=None).text == "Größe"


def test_deep_nesting_is_no_matter() -> None:
    """30,000 elements inside each other are read like one."""
    assert text_of("<div>" * 30_000 + "deep" + "</div>" * 30_000) == "deep"
    assert text_of("<b>" * 30_000 + "deep") == "deep"
    assert text_of("<table><tr><td>" * 3_000 + "deep").strip() == "deep"


def test_unclosed_hidden_element_does_not_hide_the_rest() -> None:
    """The parser closes a paragraph where the next begins, and with it what hides it."""
    assert text_of("<p style='display:none'>secret<p>seen") == "seen"


@pytest.mark.parametrize("void", ["embed src=x", "embed hidden", "wbr hidden", "source hidden", "img hidden"])
def test_an_element_without_content_hides_nothing(void: str) -> None:
    """What has no end hides neither what follows nor, inside something hidden, shows what is hidden."""
    assert text_of(f"<p>one</p><{void}><p>two</p><div>three</div>") == "one\n\ntwo\n\nthree"
    assert text_of(f"<p>one</p><div hidden>x<{void}>x</div><p>two</p>") == "one\n\ntwo"
