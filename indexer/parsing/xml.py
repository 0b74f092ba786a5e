"""XML of any kind: elements with text as ``name: text``, mixed content as paragraphs."""

import re
from collections.abc import Iterator

from lxml import etree

from corpus.chunks import ParsedDocument
from corpus.errors import DamagedDocument, UnsafeDocument
from indexer.parsing.cleaning import clean, decode
from indexer.parsing.writing import TextWriter
from indexer.parsing.zipped import safe_xml_parser

_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_ENCODING = re.compile(rb"\A\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([\w.:-]+)")
_ENTITY = re.compile(r"<!ENTITY\b")


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read the elements' texts and attributes.

    Raises:
        UnsafeDocument: it declares entities, which can read files and expand without end.
        DamagedDocument: it is not well-formed, or nests more than 256 levels.
    """
    found = _ENCODING.match(data[:200])
    text = _DECLARATION.sub("", clean(decode(data, found[1].decode() if found else None))).strip()
    if _ENTITY.search(text):
        raise UnsafeDocument("The XML declares entities; they are not expanded. Save it without a DOCTYPE.")
    try:
        root = etree.fromstring(text.encode(), parser=safe_xml_parser())
    except etree.XMLSyntaxError as error:
        raise DamagedDocument(f"The XML is not well-formed: {error}") from error
    writer = TextWriter()
    if _is_leaf(root) or not _is_mixed(root):
        _write(writer, root)
    else:
        writer.lines(_attribute_lines(root))
        _write_inner(writer, root)
    return writer.finish(media_type)


def _write(writer: TextWriter, element: etree._Element) -> None:
    """Append the element's own lines as one block, then its inner elements' blocks."""
    lines = list(_attribute_lines(element))
    for child in element.iterchildren("*"):
        if _is_leaf(child):
            lines += _attribute_lines(child)
            lines += _text_lines(child)
        else:
            writer.lines(lines)
            lines = []
            _write_inner(writer, child)
    if _is_leaf(element):
        lines += _text_lines(element)
    writer.lines(lines)


def _write_inner(writer: TextWriter, element: etree._Element) -> None:
    if _is_mixed(element):
        writer.paragraph(" ".join("".join(element.itertext()).split()))
    else:
        _write(writer, element)


def _is_leaf(element: etree._Element) -> bool:
    return next(element.iterchildren("*"), None) is None


def _is_mixed(element: etree._Element) -> bool:
    return any((text or "").strip() for text in (element.text, *(child.tail for child in element)))


def _text_lines(element: etree._Element) -> Iterator[str]:
    text = " ".join("".join(element.itertext()).split())
    if text:
        yield f"{_name(element.tag)}: {text}"


def _attribute_lines(element: etree._Element) -> Iterator[str]:
    for name, value in element.attrib.items():
        if str(value).strip():
            yield f"{_name(element.tag)} {_name(name)}: {str(value).strip()}"


def _name(tag: object) -> str:
    return str(etree.QName(str(tag)).localname)
