"""What a collection's documents are indexed for: the embedder and chunking of each kept generation.

Besides the active generation, those that are being built, wait for promotion, or are kept for rollback
get every new document too: so promotion and rollback are the change of one row.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.chunks import Chunking
from corpus.database import Database
from corpus.embedding import Embedder, load_embedder
from corpus.errors import CorpusError, EmbedderMismatch, NotReady
from corpus.models import ActiveGeneration, Generation

_log = logging.getLogger(__name__)
KEPT = ("building", "ready", "active", "retired")


@dataclass(frozen=True, slots=True)
class Target:
    """Chunks of this chunking, embedded by this embedder."""

    chunking: Chunking
    embedder: Embedder


@dataclass(frozen=True, slots=True)
class Plan:
    """The targets of one collection; the first is what readers use now."""

    targets: tuple[Target, ...]

    @property
    def active(self) -> Target:
        """What readers use now."""
        return self.targets[0]

    def cutter(self, chunking: Chunking) -> Embedder:
        """Return the embedder whose word pieces the chunking counts."""
        fitting = [target.embedder for target in self.targets if target.chunking == chunking]
        return next((each for each in fitting if each.name == chunking.tokenizer), fitting[0])


class FindEmbedder(Protocol):
    """Gives the embedder of an id, perhaps by loading it from where the generation says that it is."""

    def __call__(self, embedder_id: str, source: str | None = None, /) -> Embedder:
        """Return it.

        Raises:
            EmbedderMismatch: it is not here.
            ModelError: it can not be loaded.
        """


def one_embedder(embedder: Embedder) -> FindEmbedder:
    """Return a `FindEmbedder` that has this one from the beginning."""
    return Embedders([embedder])


class Embedders:
    """The embedders of this process: a `FindEmbedder` that keeps what it loads; for any thread.

    Args:
        embedders: those that are there from the beginning.
        load: loads the embedder of a package or folder.
    """

    def __init__(
        self, embedders: Sequence[Embedder], *, load: Callable[[str], Embedder] = load_embedder
    ) -> None:
        self._known = {embedder.id: embedder for embedder in embedders}
        self._by_source: dict[str, Embedder] = {}
        self._load = load
        self._loading = threading.Lock()
        self._failed: set[str] = set()

    def __call__(self, embedder_id: str, source: str | None = None, /) -> Embedder:
        """Return an embedder; nobody who asks for a known one waits while another one is loaded.

        Raises:
            EmbedderMismatch: it is not here.
            ModelError: it can not be loaded.
        """
        if embedder_id not in self._known and source is not None:
            self.load(source)
        try:
            return self._known[embedder_id]
        except KeyError:
            raise EmbedderMismatch(
                f"The collection needs embedder {embedder_id}, this process has {', '.join(self._known)}; "
                f"set RAG_EMBEDDER to the former or run `rag reindex`."
            ) from None

    def load(self, source: str) -> Embedder:
        """Return the embedder of a package or folder, loaded when it is first asked for.

        Raises:
            ModelError: it can not be loaded.
        """
        with self._loading:
            if source not in self._by_source:
                loaded = self._load(source)
                self._by_source[source] = self._known.setdefault(loaded.id, loaded)
            return self._by_source[source]

    def named(self, name: str) -> Embedder | None:
        """Return the embedder of this name or id, if it is here."""
        return next((each for each in list(self._known.values()) if name in (each.name, each.id)), None)

    def prepare(self, database: Database) -> None:
        """Load what the generations of the database need, so that none is missing when it serves.

        One that can not be loaded is logged once; whoever needs it is told why.
        """
        with database.read() as session:
            needed = session.execute(
                select(Generation.embedder, Generation.embedder_source)
                .where(Generation.state.in_(KEPT), Generation.embedder_source.is_not(None))
                .distinct()
            ).all()
        for embedder_id, source in needed:
            if source is not None and embedder_id not in self._known and source not in self._failed:
                try:
                    self(embedder_id, source)
                except Exception:  # noqa: BLE001 - whatever it is, the others are wanted too
                    self._failed.add(source)
                    _log.exception("embedder %s can not be loaded from %s", embedder_id, source)


def read_plan(session: Session, collection_id: str, find_embedder: FindEmbedder) -> Plan:
    """Return what the documents of a collection are indexed for.

    Raises:
        EmbedderMismatch, ModelError: the embedder of the active generation is not here. A kept generation
            whose embedder is not here is left out; it catches up when it is promoted.
        NotReady: the collection has no active generation.
    """
    active_id = session.scalar(
        select(ActiveGeneration.generation_id).where(ActiveGeneration.collection_id == collection_id)
    )
    kept = session.scalars(
        select(Generation).where(Generation.collection_id == collection_id, Generation.state.in_(KEPT))
    ).all()
    active = next((generation for generation in kept if generation.id == active_id), None)
    if active is None:
        raise NotReady(f"Collection {collection_id} has no active generation; run `rag reindex`.")
    targets = [
        Target(Chunking.from_key(active.chunking), find_embedder(active.embedder, active.embedder_source))
    ]
    for generation in kept:
        try:
            embedder = find_embedder(generation.embedder, generation.embedder_source)
        except CorpusError:
            continue
        target = Target(Chunking.from_key(generation.chunking), embedder)
        if target not in targets:
            targets.append(target)
    return Plan(tuple(targets))
