"""RTF: its text, without structure; table rows as lines."""

from striprtf.striprtf import rtf_to_text

from corpus.chunks import ParsedDocument
from indexer.parsing.writing import TextWriter


def read(data: bytes, media_type: str) -> ParsedDocument:
    """Read the text; RTF is ASCII by definition, its escapes say the rest."""
    text = rtf_to_text(data.decode("latin-1"), errors="replace")  # type: ignore[no-untyped-call]  # it has no types
    # An escape is 16 bits, and a character beyond them two: the library leaves these halves.
    text = text.encode("utf-16-le", errors="surrogatepass").decode("utf-16-le", errors="replace")
    writer = TextWriter()
    rows: list[str] = []
    for line in text.split("\n"):
        if line.endswith("|"):
            rows.append(line.rstrip("|").replace("|", "\t"))
            continue
        writer.lines(rows)
        rows = []
        writer.paragraph(line)
    writer.lines(rows)
    return writer.finish(media_type)
