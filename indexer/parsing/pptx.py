"""PPTX: a slide is a page; its title is a heading; speaker notes follow its text."""

import io
from collections.abc import Iterator
from typing import Any

import pptx
from pptx.enum.shapes import MSO_SHAPE_TYPE

from corpus.chunks import ParsedDocument
from corpus.errors import NoTextFound
from indexer.parsing.writing import TextWriter, clean_title
from indexer.parsing.zipped import open_zip

Shape = Any  # python-pptx has no types
Slide = Any


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read all slides.

    Raises:
        NoTextFound: there are slides, and no text on them.
    """
    open_zip(data).close()
    deck = pptx.Presentation(io.BytesIO(data))
    writer = TextWriter()
    count = 0
    for count, slide in enumerate(deck.slides, start=1):
        writer.page(count)
        _write_slide(writer, slide)
    if count and not writer.length:
        raise NoTextFound(f"None of its {count} slides has text, only pictures; give their text.")
    return writer.finish(media_type, clean_title(deck.core_properties.title) or writer.first_heading)


def _write_slide(writer: TextWriter, slide: Slide) -> None:
    start = writer.next_start
    for shape in slide.shapes:
        _write_shape(writer, shape)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        writer.paragraph(slide.notes_slide.notes_text_frame.text)
    title = slide.shapes.title
    if title is not None and writer.length > start:
        # The title names the whole slide, wherever on it it stands.
        writer.mark_heading(1, title.text_frame.text, start)


def _write_shape(writer: TextWriter, shape: Shape) -> None:
    if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
        for inner in shape.shapes:
            _write_shape(writer, inner)
    elif getattr(shape, "has_table", False) and shape.has_table:
        writer.table([[cell.text for cell in row.cells] for row in shape.table.rows])
    elif shape.has_text_frame:
        writer.lines(_lines(shape))


def _lines(shape: Shape) -> Iterator[str]:
    for paragraph in shape.text_frame.paragraphs:
        text = paragraph.text.replace("\v", "\n").strip()
        if text:
            yield "  " * paragraph.level + text if paragraph.level else text
