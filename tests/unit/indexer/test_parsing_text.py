"""How texts and data formats are read."""
# ruff: noqa: RUF001 - text in many scripts is the subject

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.chunks import Heading
from indexer.parsing import media_types, parse_document
from indexer.parsing.cleaning import clean, decode


def text_of(data: bytes, name: str | None = None) -> str:
    """Return the text that is read."""
    return parse_document(data, filename=name).text


def test_plain_text_stays_what_it_is() -> None:
    """Ordinary text is kept to the character: white space, accents in either form, bidi marks, emoji."""
    text = "  Zwölf  Boxkämpfer\n\n\te\u0301 \u202eabc\u202c 日本 👩‍👩‍👧 \u00a0 zero\u200bwidth\n"
    document = parse_document(text.encode(), filename=None, media_type="text/plain")
    assert (document.text, document.media_type) == (text, "text/plain")


def test_plain_text_has_titles_too() -> None:
    """A short line above the text is its title; one alone above a paragraph is a heading."""
    body = "The generators burn fourteen litres an hour and are kept by one man who sleeps beside them."
    source = f"THE GREEN BOOK\nby Orson\n\nTo be read.\n\nWho may come in\n\n{body}\n\n{body}\n"
    document = parse_document(source.encode(), filename="a.txt")
    assert document.text == source
    assert document.title == "THE GREEN BOOK"
    assert document.headings == (Heading(source.index("Who may"), 2, "Who may come in"),)


@pytest.mark.parametrize("first", ["A sentence, which ends.", "Dear Sir,", "no capital letter", "x" * 120])
def test_first_line_that_is_no_title(first: str) -> None:
    """A sentence, a greeting and a long line are no headings; the first two are no titles either."""
    document = parse_document(f"{first}\n\n{'word ' * 30}\n".encode(), filename="a.txt")
    assert document.headings == ()
    assert document.title in (None, "no capital letter")


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")))
def test_text_without_control_characters_is_not_changed(text: str) -> None:
    """Cleaning leaves alone whatever the database can keep."""
    assert clean(text) == text


@given(st.text(alphabet=st.characters()))
def test_cleaned_text_can_be_stored(text: str) -> None:
    """Nothing is left that PostgreSQL or UTF-8 refuse, and cleaning twice changes nothing."""
    cleaned = clean(text)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean(cleaned) == cleaned


def test_line_ends_become_line_feeds() -> None:
    """Windows', old Macs' and other line ends are one."""
    assert clean("a\r\nb\rc\u0085d\fe") == "a\nb\nc\nd\ne"


SENTENCE = "Größe 5 kostet 3 € – sagt José, naïve façade."


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "cp1252"],
)
def test_encodings_of_western_text(encoding: str) -> None:
    """With or without a mark, each encoding of Western text is told."""
    assert text_of(SENTENCE.encode(encoding)) == SENTENCE


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", "Москва — столица России, город федерального значения."),
        ("shift_jis", "日本の首都は東京です。とても大きな都市です。"),
        ("euc-kr", "대한민국의 수도는 서울이다. 매우 큰 도시이다."),
        ("cp1250", "Zażółć gęślą jaźń. Polska leży w Europie Środkowej, a jej stolicą jest Warszawa."),
        ("cp1252", "L'été était très chaud cette année. J'ai acheté un café à Besançon, près des fenêtres."),
    ],
)
def test_encodings_are_guessed(encoding: str, text: str) -> None:
    """A language's usual encoding is guessed from its letters."""
    assert decode(text.encode(encoding)) == text


@pytest.mark.parametrize(
    "text",
    [
        "Le café était fermé. L'élève a reçu une pièce à l'hôtel. ",
        "Die Größe der Straße überrascht die Prüfer. ",
        "Кафе было закрыто вчера вечером. ",
        "昨日カフェは閉まっていました。",
    ],
)
@pytest.mark.parametrize("times", [1, 30, 3_000])
def test_a_wrong_byte_does_not_spoil_utf8(text: str, times: int) -> None:
    """Of a text in UTF-8 with a wrong byte, or cut off within a character, the rest stays as it is."""
    good = (text * times).rstrip()
    assert text_of(good.encode() + b"\x92") == good + "\ufffd"
    assert text_of(b"A: \xff" + good.encode()) == "A: \ufffd" + good
    assert text_of(good.encode() + "é".encode()[:1]) == good + "\ufffd"


def test_a_few_wrong_bytes_do_not_spoil_utf8() -> None:
    """Nine in ten characters beyond ASCII must be right, unless there is only one that is wrong."""
    assert text_of("20 € a naïve ".encode() + b"caf\xe9 each") == "20 € a naïve caf\ufffd each"
    assert text_of("à la carte. ".encode() * 19 + b"\xff\xff") == "à la carte. " * 19 + "\ufffd\ufffd"
    assert text_of("Ça ".encode() + "à été".encode("cp1252")) == "Ã‡a à été"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Le café était fermé. L'élève a reçu une pièce à l'hôtel."),
        ("cp1251", "Кафе было закрыто вчера вечером, и никто не знал почему."),
        ("gb18030", "昨天咖啡馆关门了。我们回家吃饭。"),
    ],
)
@pytest.mark.parametrize("lines", [400, 8_000, 20_000])
def test_encoding_is_guessed_where_it_shows(encoding: str, text: str, lines: int) -> None:
    """However much ASCII stands before the first other letter, none is lost."""
    whole = "plain ascii words here.\n" * lines + f"{text}\n" * 10
    assert decode(whole.encode(encoding)) == whole


def test_few_letters_are_western() -> None:
    """A letter that looks odd does not decide about a short text, nor about the last words of a long one."""
    text = "Le café était fermé à Zürich."
    assert decode(text.encode("cp1252")) == text
    whole = "plain ascii words here. " * 9_000 + text
    assert decode(whole.encode("cp1252")) == whole


def test_a_long_text_is_not_guessed_from_half_a_character() -> None:
    """Where the part that is looked at ends does not matter."""
    for shift in range(3):
        whole = "a" * shift + "昨天咖啡馆关门了。我们回家吃饭。\n" * 10_000
        assert decode(whole.encode("gb18030")) == whole


def test_markdown_keeps_its_source() -> None:
    """Markdown's text is its source; headings of both styles are found, without their marks."""
    source = "# A *fine* title\n\n[A link](http://x).\n\nSecond `one`\n-------\n\n```\n# none\n```\n"
    document = parse_document(source.encode(), filename="a.md")
    assert document.text == source
    assert document.title == "A fine title"
    assert document.headings == (
        Heading(0, 1, "A fine title"),
        Heading(source.index("Second"), 2, "Second one"),
    )


def test_front_matter_gives_the_title() -> None:
    """A YAML header is no heading; its title is the document's."""
    source = '---\ntitle: "The handbook"\ntags: [a]\n---\n\n# Chapter\n\nText\n'
    document = parse_document(source.encode(), filename="a.md")
    assert document.title == "The handbook"
    assert document.headings == (Heading(source.index("# Chapter"), 1, "Chapter"),)


def test_pictures_as_data_are_taken_out() -> None:
    """The base64 of a picture inside Markdown is not text."""
    source = f"![logo](data:image/png;base64,{'QUJD' * 100})\n\nThe text.\n"
    assert text_of(source.encode(), "a.md") == "![logo]()\n\nThe text.\n"


def test_rst_headings() -> None:
    """Underlined titles are headings; their style's first use gives the level."""
    source = "=====\nGuide\n=====\n\nOne\n---\n\ntext\n\nTwo\n---\n\nInner\n~~~~~\n\ntext\n"
    document = parse_document(source.encode(), filename="a.rst")
    assert document.title == "Guide"
    assert [(heading.level, heading.title) for heading in document.headings] == [
        (1, "Guide"),
        (2, "One"),
        (2, "Two"),
        (3, "Inner"),
    ]
    assert document.headings[0].start == 0


def test_org_headings() -> None:
    """Stars are headings; tags and states are not part of the title."""
    source = "#+TITLE: Handbook\n* TODO Fuel :a:b:\ntext\n** Diesel\ntext\n"
    document = parse_document(source.encode(), filename="a.org")
    assert document.title == "Handbook"
    assert [(heading.level, heading.title) for heading in document.headings] == [(1, "Fuel"), (2, "Diesel")]


def test_source_code_is_text() -> None:
    """Code is kept as it stands, under its own media type."""
    source = "def f():\n    return 1\n"
    document = parse_document(source.encode(), filename="a.py")
    assert (document.text, document.media_type) == (source, "text/x-python")


def test_csv_row_is_a_record() -> None:
    """Each row says what its values are; commas in quotes part nothing, formulas stay text."""
    data = b'item,price\n"Pump, small",30\n=HYPERLINK(1),\n'
    assert text_of(data, "a.csv") == "item: Pump, small; price: 30\n\nitem: =HYPERLINK(1)"


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_csv_line_that_names_its_delimiter_is_no_header(line: str) -> None:
    """Excel writes and wants it above the header."""
    assert text_of(f"{line}\r\nitem;price\r\nPump;2,50\r\n".encode(), "a.csv") == "item: Pump; price: 2,50"


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_csv_delimiter_is_found(delimiter: str) -> None:
    """Semicolons, tabs and bars part fields, too."""
    data = "\n".join(delimiter.join(row) for row in [("a", "b"), ("1", "2,5"), ("3", "4,5")])
    assert text_of(data.encode(), "a.csv") == "a: 1; b: 2,5\n\na: 3; b: 4,5"


def test_tsv_row_is_a_record() -> None:
    """Tabs part fields, commas do not."""
    assert text_of(b"a\tb\n1,5\t2\n", "a.tsv") == "a: 1,5; b: 2"


def test_long_record_has_a_line_a_field() -> None:
    """A record of many words can be cut between its fields."""
    data = f"a,b\n{'x ' * 100},{'y ' * 100}\n".encode()
    assert text_of(data, "a.csv").count("\n") == 1


def test_json_is_kept_as_it_stands() -> None:
    """Readable JSON is its own text."""
    source = '{\n  "name": "Størm",\n  "prices": [1, 2]\n}\n'
    document = parse_document(source.encode(), filename=None)
    assert (document.text, document.media_type) == (source, media_types.JSON)


def test_escaped_json_is_written_out() -> None:
    """Escapes become letters; a minified file gets lines."""
    assert "Størm" in text_of(b'{"name": "St\\u00f8rm"}')
    minified = json.dumps([{"number": number} for number in range(500)], separators=(",", ":"))
    assert len(minified) > 2_000
    assert '"number": 499' in text_of(minified.encode())


def test_ndjson_lines_stay() -> None:
    """One value a line is text as it stands."""
    source = '{"a": 1}\n{"a": 2}\n'
    document = parse_document(source.encode(), filename="a.jsonl")
    assert (document.text, document.media_type) == (source, media_types.NDJSON)


def test_only_line_feeds_end_lines_of_data() -> None:
    """A line separator within a value is a part of it."""
    source = '{"a": "one\u2028two"}\n{"a": 2}\n'
    document = parse_document(source.encode(), filename="a.jsonl")
    assert (document.text, document.media_type) == (source, media_types.NDJSON)
    rows = text_of("a,b\none\u2028two,3\n".encode(), "a.csv")
    assert rows.startswith("a: one")
    assert rows.endswith("two; b: 3")


def test_xml_elements_are_named() -> None:
    """Elements with text name it; attributes stand beside; mixed content is a paragraph."""
    source = (
        b'<?xml version="1.0" encoding="utf-8"?><shop><item id="p1"><name>Pump</name><price>30</price></item>'
        b"<note>Sold <b>out</b> today.</note></shop>"
    )
    assert text_of(source) == "item id: p1\nname: Pump\nprice: 30\n\nSold out today."


def test_xml_root_keeps_its_own_text() -> None:
    """Words between elements are read at the top as further down; so are the root's attributes."""
    source = b'<?xml version="1.0"?><note to="Ilse">Hello <b>bold</b> pump, <i>good</i> night</note>'
    assert text_of(source) == "note to: Ilse\n\nHello bold pump, good night"


def test_xml_of_another_encoding() -> None:
    """The declaration's encoding holds."""
    source = '<?xml version="1.0" encoding="iso-8859-1"?><a><b>Größe</b></a>'
    assert text_of(source.encode("latin-1")) == "b: Größe"


def test_rtf_characters_beyond_16_bits() -> None:
    """They are two escapes; half of one is a replacement character."""
    assert text_of(rb"{\rtf1\ansi A smile \u-10179?\u-8704? and \u-10179? half.}", "a.rtf") == (
        "A smile \U0001f600 and \ufffd half."
    )


def test_rtf_text_and_tables() -> None:
    """RTF's text is read, escapes and table rows included."""
    source = rb"{\rtf1\ansi First \'e9t\'e9.\par\trowd Name\cell Price\cell\row Pump\cell 30\cell\row}"
    assert text_of(source) == "First été.\n\nName\tPrice\nPump\t30"
