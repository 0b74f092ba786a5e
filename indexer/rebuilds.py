"""Asking for a new generation: reindex, compaction, promotion, cancellation. Done by `indexer.reindexing`."""

from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Select, exists, func, select, update
from sqlalchemy.orm import Session

from corpus.collections import active_generation, checked_chunking
from corpus.embedding import Embedder
from corpus.errors import CollectionNotFound, Conflict, InvalidRequest
from corpus.models import ActiveGeneration, Embedding, Generation, Job, Tombstone, now
from corpus.vector_index.generation_files import INDEX_TYPES
from indexer.generations import begin_generation, fail_generation, lock_active_generation
from indexer.job_states import FINISHED
from indexer.jobs import JobKind, cancel_job, create_job, find_job, requeue
from indexer.trial import Trial

REBUILDS: tuple[JobKind, ...] = ("reindex", "compaction")
_LEAST_TAIL = 10_000
_LEAST_TOMBSTONES = 1_000
_TAIL_SHARE = 0.2
_TOMBSTONE_SHARE = 0.1
_REST_AFTER_FAILURE = timedelta(hours=1)


def request_reindex(
    session: Session,
    collection_id: str,
    *,
    embedder: Embedder,
    source: str | None = None,
    max_tokens: int | None = None,
    overlap: int | None = None,
    index_type: str = "auto",
    manual: bool = False,
    trial: Trial | None = None,
) -> Job:
    """Begin a generation with another embedder, chunking or index type, and queue the job that builds it.

    Args:
        session: a write transaction.
        collection_id: whose generation.
        embedder: makes its vectors; may be the present one.
        source: package or folder that workers load the embedder from; None: they have it by themselves.
        max_tokens: longest chunk; None: as `corpus.collections.create_collection`.
        overlap: word pieces that neighbours share; None: the same.
        index_type: how vectors are searched: auto (by their number), flat (exactly), ivf (inverted lists).
        manual: stop when it is ready; `request_promotion` switches.
        trial: what it must find before it is ready.

    Raises:
        CollectionNotFound, NotReady: see `corpus.collections.active_generation`.
        InvalidRequest: sizes or index type do not fit.
        Conflict: the collection is being reindexed or compacted already.
    """
    if index_type not in INDEX_TYPES:
        raise InvalidRequest(f"index: must be one of {', '.join(INDEX_TYPES)}, not {index_type!r}.")
    chunking = checked_chunking(embedder, max_tokens, overlap)
    active_generation(session, collection_id)
    _require_no_rebuild(session, collection_id)
    generation = begin_generation(
        session,
        collection_id,
        embedder_id=embedder.id,
        embedder_source=None if source is None else _independent_of_here(source),
        dimension=embedder.dimension,
        chunking=chunking.key,
        index_type=index_type,
    )
    job = _create(session, "reindex", generation, manual=manual)
    if trial is not None:
        job.options = {**job.options, **trial.to_options()}
        session.flush()
    return job


def note_source(session: Session, embedder_id: str, source: str) -> None:
    """Note in generations that do not say it yet where their embedder is loaded from.

    Processes with another embedder in their settings can then go on with them, or back to them.
    """
    session.execute(
        update(Generation)
        .where(Generation.embedder == embedder_id, Generation.embedder_source.is_(None))
        .values(embedder_source=_independent_of_here(source))
        .execution_options(synchronize_session=False)
    )


def request_compaction(session: Session, collection_id: str) -> Job:
    """Queue a job that folds tail and tombstones of the active generation into a new base.

    Raises:
        CollectionNotFound, NotReady, Conflict: see `request_reindex`.
    """
    _require_no_rebuild(session, collection_id)
    active = active_generation(session, collection_id)
    generation = begin_generation(
        session,
        collection_id,
        embedder_id=active.embedder,
        embedder_source=active.embedder_source,
        dimension=active.dimension,
        chunking=active.chunking,
        index_type=active.index_type,
    )
    job = _create(session, "compaction", generation, manual=False)
    job.options = {**job.options, "in_place_of": active.id}
    session.flush()
    return job


def request_promotion(session: Session, job_id: str) -> Job:
    """Let a reindex that stopped at `ready` go on and switch.

    Raises:
        JobNotFound: there is no such job.
        Conflict: it is no reindex that waits for this.
    """
    job = find_job(session, job_id, lock=True)
    generation = session.get(Generation, generation_of(job) or "")
    if job.kind not in REBUILDS or generation is None or generation.state not in {"building", "ready"}:
        raise Conflict(f"Job {job_id} is no reindex that can be promoted.")
    job.options = {**job.options, "manual": False}
    if job.state in FINISHED:
        requeue(job)
        job.finished_at = None
    session.flush()
    return job


def generation_of(job: Job) -> str | None:
    """Return the id of the generation that a reindex or compaction builds."""
    generation_id = job.options.get("generation")
    return generation_id if isinstance(generation_id, str) else None


def replaced_by(job: Job) -> str | None:
    """Return the id of the generation that a compaction folds; None: a reindex replaces whichever serves.

    A rollback or promotion that comes while it is built is not undone by it.
    """
    generation_id = job.options.get("in_place_of")
    return generation_id if isinstance(generation_id, str) else None


def cancel_reindex(session: Session, job_id: str) -> Job:
    """Cancel a reindex or compaction, or throw away what it built, unless it serves already.

    Raises:
        JobNotFound: there is no such job.
        Conflict: it is no reindex, or its generation serves or served.
    """
    job = find_job(session, job_id, lock=True)
    generation = session.get(Generation, generation_of(job) or "")
    if job.kind not in REBUILDS or (generation is not None and generation.state in {"active", "retired"}):
        raise Conflict(f"Job {job_id} can not be cancelled; to go back, activate the former generation.")
    cancel_job(session, job_id)
    if generation is not None:
        fail_generation(session, generation.id, "Its job was cancelled.")
    return job


def compact_where_due(session: Session) -> list[Job]:
    """Queue a compaction for each collection whose tail or tombstones have grown too long."""
    jobs = []
    for collection_id in _due(session):
        with suppress(Conflict, CollectionNotFound):  # another worker was faster, or it was deleted
            jobs.append(request_compaction(session, collection_id))
    return jobs


def _due(session: Session) -> list[str]:
    serving = session.scalars(
        select(Generation).join(ActiveGeneration, ActiveGeneration.generation_id == Generation.id)
    ).all()
    return [
        each.collection_id
        for each in serving
        if (_has_long_tail(session, each) or _has_many_tombstones(session, each))
        and not _is_being_rebuilt(session, each.collection_id)
        and not _failed_lately(session, each.collection_id)
    ]


def _has_long_tail(session: Session, generation: Generation) -> bool:
    limit = int(max(_LEAST_TAIL, _TAIL_SHARE * generation.vector_count))
    tail = select(Embedding.chunk_id).where(
        Embedding.collection_id == generation.collection_id,
        Embedding.embedder == generation.embedder,
        Embedding.change_number > generation.change_number,
    )
    return _more_than(session, limit, tail)


def _has_many_tombstones(session: Session, generation: Generation) -> bool:
    limit = int(max(_LEAST_TOMBSTONES, _TOMBSTONE_SHARE * generation.vector_count))
    tombstones = select(Tombstone.chunk_id).where(
        Tombstone.collection_id == generation.collection_id,
        Tombstone.change_number > generation.change_number,
    )
    return _more_than(session, limit, tombstones)


def _more_than(session: Session, limit: int, rows: Select[int]) -> bool:
    counted = select(func.count()).select_from(rows.limit(limit + 1).subquery())
    return session.execute(counted).scalar_one() > limit


def _is_being_rebuilt(session: Session, collection_id: str) -> bool:
    unfinished = exists().where(
        Job.collection_id == collection_id, Job.kind.in_(REBUILDS), Job.state.not_in(FINISHED)
    )
    return bool(session.scalar(select(unfinished)))


def _failed_lately(session: Session, collection_id: str) -> bool:
    failed = exists().where(
        Job.collection_id == collection_id,
        Job.kind == "compaction",
        Job.state == "failed",
        Job.finished_at > now() - _REST_AFTER_FAILURE,
    )
    return bool(session.scalar(select(failed)))


def _require_no_rebuild(session: Session, collection_id: str) -> None:
    # Two requests at once: the second one waits here for the first one's job.
    lock_active_generation(session, collection_id)
    if _is_being_rebuilt(session, collection_id):
        raise Conflict("The collection is being reindexed or compacted already; see `rag jobs list`.")


def _independent_of_here(source: str) -> str:
    """Return a folder's absolute path, for workers that run elsewhere; a package's name stays."""
    folder = Path(source)
    return str(folder.resolve()) if folder.is_dir() else source


def _create(session: Session, kind: JobKind, generation: Generation, *, manual: bool) -> Job:
    job = create_job(session, kind, collection_id=generation.collection_id)
    job.options = {"generation": generation.id, "manual": manual}
    session.flush()
    return job
