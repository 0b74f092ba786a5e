"""Bodies of many documents."""

import io
from typing import cast

import pytest

from corpus.errors import EmptyDocument
from rag_service.api import bulk
from rag_service.service import Service
from rag_service.sources.source import READ_BYTES

NO_SERVICE = cast("Service", None)


class Watched(io.BytesIO):
    """A body that is never read by lines of any length, nor as a whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read a part."""
        assert size is not None
        assert 0 <= size <= READ_BYTES
        return super().read(size)

    def __next__(self) -> bytes:
        """Refuse: a line may be as long as the body."""
        raise AssertionError


def test_a_body_of_one_line_is_not_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only to find out whether there is a line; the lines themselves have a limit."""
    monkeypatch.setattr(bulk, "_take_in", lambda *_, **__: "job_1")
    body = Watched(b" " * READ_BYTES + b"x" * READ_BYTES)
    assert bulk.take_in_records(NO_SERVICE, body) == "job_1"
    assert body.tell() == 0


def test_a_blank_body_has_no_documents() -> None:
    """However long it is."""
    with pytest.raises(EmptyDocument):
        bulk.take_in_records(NO_SERVICE, Watched(b" \n" * READ_BYTES))
