"""A document on its way in."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from corpus.errors import DamagedDocument, TooLarge
from indexer.uploads import Upload

READ_BYTES = 1 << 20
Parts = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Source:
    """A document on its way in; `parts` opens its bytes anew and yields them.

    `external_id` is its path relative to the folder, pattern or archive that was named, with ``/``. A
    source with a `problem` can not be taken in.
    """

    label: str
    parts: Parts
    size: int
    filename: str | None = None
    external_id: str | None = None
    title: str | None = None
    metadata: Mapping[str, JsonValue] | None = None
    media_type: str | None = None
    collection: str | None = None
    problem: str | None = None

    def open(self, *, most_bytes: int) -> bytes | Parts:
        """Return the bytes, or for many what opens them, until the next source is asked for.

        Either can be read to the end: what is damaged is found here. An archive's member is kept in a
        temporary file meanwhile.

        Raises:
            DamagedDocument: it has a problem.
            TooLarge: it has more than `most_bytes`.
            Exception: what reading a file, or `archives.DAMAGED`, may raise.
        """
        if self.problem is not None:
            raise DamagedDocument(self.problem)
        if problem := size_problem(self.size, most_bytes):
            raise TooLarge(problem)
        if self.size <= READ_BYTES:
            return b"".join(self.parts())
        for _ in self.parts():
            pass
        return self.parts

    def upload(self, collection_id: str) -> Upload:
        """Return what the indexer is told about it."""
        return Upload(
            collection_id,
            filename=self.filename,
            media_type=self.media_type,
            title=self.title,
            external_id=self.external_id,
            metadata=self.metadata,
        )


def size_problem(size: int, most_bytes: int) -> str | None:
    """Say that so many bytes are too many; None: they are not."""
    if size <= most_bytes:
        return None
    return f"The file has {size >> 20} MiB; RAG_MAX_UPLOAD_MB allows {most_bytes >> 20}."


def no_parts() -> Iterator[bytes]:
    """Yield nothing: the bytes of a source with a problem."""
    return iter(())
