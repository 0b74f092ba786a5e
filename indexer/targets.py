"""What a collection's documents are indexed for: the embedder and chunking of each kept generation.

Besides the active generation, those that are being built, wait for promotion, or are kept for rollback
get every new document too: so promotion and rollback are the change of one row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from corpus.chunks import Chunking
from corpus.embedding import Embedder
from corpus.errors import CorpusError, EmbedderMismatch, NotReady
from corpus.models import ActiveGeneration, Generation

FindEmbedder = Callable[[str], Embedder]
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


def one_embedder(embedder: Embedder) -> FindEmbedder:
    """Return a `FindEmbedder` that knows only this one."""
    return some_embedders([embedder])


def some_embedders(embedders: Sequence[Embedder]) -> FindEmbedder:
    """Return a `FindEmbedder` that knows these."""
    known = {embedder.id: embedder for embedder in embedders}

    def find(embedder_id: str) -> Embedder:
        if embedder_id not in known:
            raise EmbedderMismatch(
                f"The collection needs embedder {embedder_id}, this worker has {', '.join(known)}; set "
                f"RAG_EMBEDDER to the former or run `rag reindex`."
            )
        return known[embedder_id]

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
    targets = [Target(Chunking.from_key(active.chunking), find_embedder(active.embedder))]
    for generation in kept:
        try:
            target = Target(Chunking.from_key(generation.chunking), find_embedder(generation.embedder))
        except CorpusError:
            continue
        if target not in targets:
            targets.append(target)
    return Plan(tuple(targets))
