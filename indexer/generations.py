"""Index generations as rows: begun, promoted, rolled back, discarded. Files: `indexer.building`.

A generation is `building`, then `ready`, then `active`; the one before it is `retired` and kept for
rollback; one that is given up is `failed` until it is discarded. From `building` to `retired` it gets
every new document (`indexer.targets`), so a promotion changes one row and nothing else.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, exists, func, select, update
from sqlalchemy.orm import Session

from corpus.collections import keep_collections
from corpus.errors import Conflict, GenerationNotFound
from corpus.ids import new_id
from corpus.models import (
    ActiveGeneration,
    Chunk,
    Document,
    Embedding,
    Generation,
    Tombstone,
    next_change_number,
    now,
)
from indexer.targets import KEPT

_KEEP_OTHERS = timedelta(days=7)
_AT_ONCE = 2000


def find_generation(session: Session, generation_id: str, *, lock: bool = False) -> Generation:
    """Return a generation; with `lock`, other transactions wait for this one before they change it.

    Raises:
        GenerationNotFound: there is no such generation.
    """
    generation = session.get(
        Generation, generation_id, populate_existing=lock, with_for_update=True if lock else None
    )
    if generation is None:
        raise GenerationNotFound(
            f"There is no generation {generation_id!r}; `rag generations list` shows which there are."
        )
    return generation


def list_generations(session: Session, collection_id: str | None = None) -> list[Generation]:
    """Return the generations of a collection, or of all, newest first."""
    statement = select(Generation).order_by(Generation.id.desc())
    if collection_id is not None:
        statement = statement.where(Generation.collection_id == collection_id)
    return list(session.scalars(statement))


def begin_generation(
    session: Session,
    collection_id: str,
    *,
    embedder_id: str,
    embedder_source: str | None,
    dimension: int,
    chunking: str,
    index_type: str,
) -> Generation:
    """Make the row of a generation that is to be built; from its commit on it gets new documents."""
    generation = Generation(
        id=new_id("gen"),
        collection_id=collection_id,
        embedder=embedder_id,
        embedder_source=embedder_source,
        dimension=dimension,
        chunking=chunking,
        index_type=index_type,
        state="building",
    )
    session.add(generation)
    session.flush()
    return generation


def promote_generation(session: Session, generation_id: str, *, in_place_of: str | None = None) -> bool:
    """Let a generation serve its collection from this transaction's commit on.

    False: documents that arrived meanwhile are missing in it; let it catch up and try again. Rollback is
    the promotion of the retired generation.

    Args:
        session: a write transaction.
        generation_id: what is to serve.
        in_place_of: the generation that it may take the place of; None: whichever serves.

    Raises:
        GenerationNotFound: there is no such generation.
        Conflict: it is not built yet, or was given up, or another one serves than it may replace.
    """
    generation = find_generation(session, generation_id)
    if is_behind(session, generation):
        return False
    active = lock_active_generation(session, generation.collection_id)
    cuts_anew = _chunking_in_use(session, generation.collection_id) != generation.chunking
    if cuts_anew:
        _lock_documents(session, generation.collection_id)
    # Whoever adds chunks needs the next number too: nobody does between the check and the switch.
    next_change_number(session)
    generation = find_generation(session, generation_id, lock=True)
    if generation.state == "active":
        return True
    if generation.state not in {"ready", "retired"}:
        raise Conflict(f"Generation {generation_id} is {generation.state}; only a ready one can serve.")
    if in_place_of is not None and active is not None and active.generation_id != in_place_of:
        raise Conflict(
            f"Generation {active.generation_id} serves by now; {generation_id} was made to take the place of "
            f"{in_place_of} and is given up."
        )
    if is_behind(session, generation):
        return False
    former = _switch(session, active, generation)
    generation.state, generation.activated_at = "active", now()
    if former is not None:
        former.state = "failed" if former.error else "retired"
    if cuts_anew:
        _recount_chunks(session, generation)
    session.flush()
    return True


def fail_generation(session: Session, generation_id: str, error: str) -> None:
    """Give up a generation; it gets no more documents and is discarded some time."""
    generation = session.get(Generation, generation_id, with_for_update=True)
    if generation is not None and generation.state in {"building", "ready"}:
        generation.state, generation.error = "failed", error
        session.flush()


def is_behind(session: Session, generation: Generation) -> bool:
    """Tell whether chunks or vectors of ready documents are missing for this generation."""
    uncut = select(Document.id).where(uncut_documents(generation)).limit(1)
    unembedded = select(Chunk.id).where(unembedded_chunks(generation)).limit(1)
    return session.scalar(uncut) is not None or session.scalar(unembedded) is not None


def uncut_documents(generation: Generation) -> ColumnElement[bool]:
    """Return the condition on `Document`: it is ready, but has no chunks of the generation's chunking."""
    own_chunks = (
        exists()
        .where(Chunk.document_id == Document.id, Chunk.chunking == generation.chunking)
        .correlate(Document)
    )
    return (Document.collection_id == generation.collection_id) & (Document.status == "ready") & ~own_chunks


def unembedded_chunks(generation: Generation) -> ColumnElement[bool]:
    """Return the condition on `Chunk`: one of a ready document that lacks the generation's vector."""
    own_vector = (
        exists()
        .where(Embedding.chunk_id == Chunk.id, Embedding.embedder == generation.embedder)
        .correlate(Chunk)
    )
    ready = exists().where(Document.id == Chunk.document_id, Document.status == "ready").correlate(Chunk)
    return (
        (Chunk.collection_id == generation.collection_id)
        & (Chunk.chunking == generation.chunking)
        & ~own_vector
        & ready
    )


def superseded_generations(session: Session, collection_id: str) -> list[str]:
    """Return the generations that are of no more use.

    Those are failed ones, and all retired ones but two: the last one of the embedder, chunking and index
    type that serve, and the last one of others. The latter goes a week after it served: for as long as it is
    kept, every document may be embedded twice. Compactions in that week do not cost it.
    """
    generations = list_generations(session, collection_id)
    served = [each for each in generations if each.state in {"active", "retired"}]
    served.sort(key=_activation, reverse=True)
    active = next((each for each in served if each.state == "active"), None)
    kept = set() if active is None else _kept_for_rollback(served, active)
    return [each.id for each in generations if each.state in {"retired", "failed"} and each.id not in kept]


def former_generation(session: Session, collection_id: str) -> Generation | None:
    """Return what a rollback goes back to: the last of other embedder, chunking or index, else the last."""
    generations = list_generations(session, collection_id)
    active = next((each for each in generations if each.state == "active"), None)
    retired = [each for each in generations if each.state == "retired"]
    others = [each for each in retired if active is None or not _are_alike(each, active)]
    return max(others or retired, key=_activation, default=None)


def _kept_for_rollback(served: Sequence[Generation], active: Generation) -> set[str]:
    """Return the ids of those that are kept of what serves and served, the last one first."""
    alike = [each.id for each in served if each is not active and _are_alike(each, active)]
    place = next((at for at, each in enumerate(served) if not _are_alike(each, active)), None)
    if place is None:
        return set(alike[:1])
    # The one that took its place tells since when it does not serve any more; so that stays, too.
    successor = served[place - 1] if place else active
    lately = _activation(successor) > now() - _KEEP_OTHERS
    return {*alike[:1], *({served[place].id, successor.id} if lately else ())}


def _are_alike(one: Generation, other: Generation) -> bool:
    """Tell whether a compaction may have made one of the other."""
    made_of = [(each.embedder, each.chunking, each.index_type) for each in (one, other)]
    return made_of[0] == made_of[1]


def discard_generation(session: Session, generation_id: str) -> None:
    """Delete the row of a generation that nobody uses. The caller removes its folder after the commit.

    Raises:
        Conflict: it serves its collection, or is being built.
    """
    try:
        generation = find_generation(session, generation_id, lock=True)
    except GenerationNotFound:
        return
    if generation.state not in {"retired", "failed"}:
        raise Conflict(f"Generation {generation_id} is {generation.state}; it can not be discarded.")
    session.delete(generation)
    session.flush()


def prune_leavings(session: Session, collection_id: str) -> bool:
    """Delete some chunks, vectors and tombstones that no kept generation needs; False: there are none.

    Called again and again, each time in a small transaction.
    """
    lock_active_generation(session, collection_id)  # nobody begins a generation that would need them
    next_change_number(session)  # nobody deletes the same rows at this moment, in another order
    kept = session.scalars(
        select(Generation).where(Generation.collection_id == collection_id, Generation.state.in_(KEPT))
    ).all()
    if not kept:
        return False
    return any(
        (
            _prune_vectors(session, collection_id, {each.embedder for each in kept}),
            _prune_chunks(session, collection_id, {each.chunking for each in kept}),
            _prune_tombstones(session, collection_id, min(each.change_number for each in kept)),
        )
    )


def lock_active_generation(session: Session, collection_id: str) -> ActiveGeneration | None:
    """Lock the row that says which generation serves; taken before documents and the change number.

    Whatever begins, switches or clears away generations of a collection does it one after the other.
    """
    keep_collections(session, [collection_id])
    return session.scalar(
        select(ActiveGeneration)
        .where(ActiveGeneration.collection_id == collection_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )


def _chunking_in_use(session: Session, collection_id: str) -> str | None:
    return session.scalar(
        select(Generation.chunking)
        .join(ActiveGeneration, ActiveGeneration.generation_id == Generation.id)
        .where(ActiveGeneration.collection_id == collection_id)
    )


def _lock_documents(session: Session, collection_id: str) -> None:
    """Lock documents before the change number, as everybody does, so that nobody waits in a circle."""
    of_collection = select(Document.id).where(Document.collection_id == collection_id)
    session.execute(of_collection.order_by(Document.id).with_for_update())


def _recount_chunks(session: Session, generation: Generation) -> None:
    """Let each document tell its number of chunks in the generation that serves now."""
    own = (
        select(func.count())
        .where(Chunk.document_id == Document.id, Chunk.chunking == generation.chunking)
        .correlate(Document)
        .scalar_subquery()
    )
    session.execute(
        update(Document)
        .where(Document.collection_id == generation.collection_id, Document.status == "ready")
        .values(chunk_count=own, updated_at=Document.updated_at)
        .execution_options(synchronize_session=False)
    )


def _switch(session: Session, active: ActiveGeneration | None, generation: Generation) -> Generation | None:
    """Change the one row that readers look at; return the generation that served until now."""
    if active is None:
        session.add(ActiveGeneration(collection_id=generation.collection_id, generation_id=generation.id))
        return None
    former = find_generation(session, active.generation_id)
    active.generation_id = generation.id
    return former


def _activation(generation: Generation) -> datetime:
    return generation.activated_at or generation.created_at


def _prune_vectors(session: Session, collection_id: str, kept: Collection[str]) -> bool:
    unused = (Embedding.collection_id == collection_id) & Embedding.embedder.not_in(kept)
    chunk_ids = session.scalars(select(Embedding.chunk_id).where(unused).limit(_AT_ONCE)).all()
    if chunk_ids:
        session.execute(delete(Embedding).where(unused, Embedding.chunk_id.in_(chunk_ids)))
    return bool(chunk_ids)


def _prune_chunks(session: Session, collection_id: str, kept: Collection[str]) -> bool:
    """Delete all unused chunks of a document or none: a later generation may cut the same way again."""
    unused = (Chunk.collection_id == collection_id) & Chunk.chunking.not_in(kept)
    some = select(Chunk.document_id).where(unused).limit(_AT_ONCE).subquery()
    document_ids = session.scalars(select(some.c.document_id).distinct()).all()
    if document_ids:
        session.execute(delete(Chunk).where(unused, Chunk.document_id.in_(document_ids)))
    return bool(document_ids)


def _prune_tombstones(session: Session, collection_id: str, folded: int) -> bool:
    """Delete tombstones that the base of every kept generation was built without."""
    folded_in = (Tombstone.collection_id == collection_id) & (Tombstone.change_number <= folded)
    chunk_ids = session.scalars(select(Tombstone.chunk_id).where(folded_in).limit(_AT_ONCE)).all()
    if chunk_ids:
        session.execute(delete(Tombstone).where(Tombstone.chunk_id.in_(chunk_ids)))
    return bool(chunk_ids)
