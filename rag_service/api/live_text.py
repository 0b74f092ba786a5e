"""Text on its way to a reader, before it was checked."""

import re

from rag_service.answering.citation_markers import take_markers

_MAYBE_MARKER = re.compile(r"\s*(\[[^\]]{0,60}|\s)$")


class LiveText:
    """Passes on what the model writes, without its ``[n]``.

    The model numbers the passages of its prompt, and may be wrong. The checked answer, which comes at the
    end, has numbers of its own.
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what can be shown now; what may become a marker is held back."""
        self._held += text
        unsure = _MAYBE_MARKER.search(self._held)
        cut = unsure.start() if unsure else len(self._held)
        ready, self._held = self._held[:cut], self._held[cut:]
        return take_markers(ready)[0]

    def flush(self) -> str:
        """Return the rest."""
        ready, self._held = self._held, ""
        return take_markers(ready)[0].rstrip()
