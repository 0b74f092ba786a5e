"""Shows a record as the model sees it: token by token, whose it is, and whether the loss counts it."""

import html
from collections.abc import Sequence

from rich.text import Text

from posttrain.examples import Example
from rag_service.answering.template import Rendered, Segment
from rag_service.answering.vocabulary import Vocabulary

_COLOURS = {
    "frame": "bright_black",
    "system": "magenta",
    "user": "cyan",
    "search_result": "yellow",
    "calculate_result": "yellow",
}
_TRAINED = "bold green"
_CSS = {
    "bright_black": "#888",
    "magenta": "#a0a",
    "cyan": "#077",
    "yellow": "#a60",
    _TRAINED: "#080;font-weight:bold",
}
_PAGE_START = """<!doctype html>
<meta charset="utf-8">
<title>Training records</title>
<style>pre { white-space: pre-wrap; font: 14px/1.6 monospace } span:hover { background: #ee8 }</style>
<p><b style="color: #080">Green and bold</b>: the loss counts it. Point at a token for its id and role.</p>
"""


def coloured(rendered: Rendered, vocabulary: Vocabulary) -> Text:
    """Return the text for a terminal: what is trained on stands out, results and frames are dim."""
    text = Text()
    for segment in rendered.segments:
        text.append(vocabulary.decode(segment.ids), style=_style(segment.role, trained=segment.trained))
    return text


def as_html(conversations: Sequence[tuple[str, Rendered]], vocabulary: Vocabulary) -> str:
    """Return a page with each record under its id; a token's id and role show when pointed at."""
    blocks = []
    for name, rendered in conversations:
        spans = "".join(
            _span(number, segment, vocabulary) for segment in rendered.segments for number in segment.ids
        )
        blocks.append(f"<h2>{html.escape(name)}</h2>\n<pre>{spans}</pre>")
    return _PAGE_START + "\n".join(blocks)


def counts(example: Example) -> str:
    """Return a line: how many tokens, how many of them trained."""
    return f"{len(example.ids)} tokens, {sum(example.trained)} of them in the loss"


def _style(role: str, *, trained: bool) -> str:
    return _TRAINED if trained else _COLOURS.get(role, "")


def _span(number: int, segment: Segment, vocabulary: Vocabulary) -> str:
    css = _CSS.get(_style(segment.role, trained=segment.trained), "inherit")
    text = html.escape(vocabulary.decode([number]))
    return f"<span style='color:{css}' title='{number} {segment.role}'>{text}</span>"
