"""Text on its way to a reader, before it was checked."""

import re
from collections.abc import Iterator

from rag_service.answering.citation_markers import take_markers, take_whole_markers
from rag_service.answering.markers import Delta, VisibleKind

# What may become a marker, or is white space that one would take along.
_UNSURE = re.compile(r"\s*(?:\[(?:[^\]\n]{0,80}|[\[0-9,;\s\u2013-]*)|\s)\Z")


class LiveText:
    """Passes on what the model writes, without its ``[n]``.

    The model numbers the passages of its prompt, and may be wrong. The checked answer, which comes at the
    end, has numbers of its own.
    """

    def __init__(self) -> None:
        self._kind: VisibleKind = "text"
        self._held = ""

    def feed(self, delta: Delta) -> Iterator[Delta]:
        """Yield what can be shown now; what may become a marker is held back."""
        if delta.kind != self._kind:
            yield from self.flush()
            self._kind = delta.kind
        held, _ = take_whole_markers(self._held + delta.text)
        unsure = _UNSURE.search(held)
        cut = unsure.start() if unsure else len(held)
        self._held = held[cut:]
        if cut:
            yield Delta(self._kind, held[:cut])

    def flush(self) -> Iterator[Delta]:
        """Yield the rest."""
        rest = take_markers(self._held)[0].rstrip()
        self._held = ""
        if rest:
            yield Delta(self._kind, rest)
