"""What a collection's documents are indexed for: the embedder and chunking of each kept generation.

Besides the active generation, those that are being built, wait for promotion, or are kept for rollback
get every new document too: so promotion and rollback are the change of one row.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.chunks import Chunking
from corpus.embedding import Embedder, load_embedder
from corpus.errors import CorpusError, EmbedderMismatch, NotReady
from corpus.models import ActiveGeneration, Generation

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
    return some_embedders([embedder])


def some_embedders(
    embedders: Sequence[Embedder], *, load: Callable[[str], Embedder] = load_embedder
) -> FindEmbedder:
    """Return a `FindEmbedder` that has these from the beginning, and keeps those that it loads."""
    known = {embedder.id: embedder for embedder in embedders}
    loading = threading.Lock()

    def find(embedder_id: str, source: str | None = None, /) -> Embedder:
        with loading:
            if embedder_id not in known and source is not None:
                loaded = load(source)
                known[loaded.id] = loaded
            if embedder_id in known:
                return known[embedder_id]
        raise EmbedderMismatch(
            f"The collection needs embedder {embedder_id}, this worker has {', '.join(known)}; set "
            f"RAG_EMBEDDER to the former or run `rag reindex`."
        )

    return find


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
