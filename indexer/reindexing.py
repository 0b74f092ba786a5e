"""The story of a reindex: build a generation beside the active one, catch up, verify, switch.

Compaction is the same story with nothing to embed. It is told in steps, each of which looks at the
database for what is next; a step that is repeated after a crash finds its work done.
"""

import logging
from contextlib import suppress
from pathlib import Path

from sqlalchemy import func, select

from corpus.database import Database
from corpus.errors import Conflict, CorpusError, JobNotFound
from corpus.models import Chunk, Document, Generation, Job, now
from indexer.building import build_base, remove_generation_files, verify_base
from indexer.catching_up import catch_up
from indexer.generations import (
    discard_generation,
    fail_generation,
    find_generation,
    lock_active_generation,
    promote_generation,
    prune_leavings,
    superseded_generations,
    uncut_documents,
    unembedded_chunks,
)
from indexer.ingest import Workbench
from indexer.job_states import FINISHED
from indexer.jobs import begin_job, fail_job, find_job
from indexer.rebuilds import REBUILDS, generation_of, replaced_by
from indexer.trial import Trial, pass_trial

_log = logging.getLogger(__name__)


def activate_generation(database: Database, generation_id: str) -> None:
    """Let a ready or retired generation serve, at once. Rollback is this with the retired one.

    Raises:
        GenerationNotFound: there is no such generation.
        Conflict: it is not built, or lacks documents that came later.
    """
    with database.write() as session:
        if not promote_generation(session, generation_id):
            raise Conflict(
                f"Generation {generation_id} lacks documents that came later, because no worker had its "
                f"embedder; run `rag reindex` with that embedder."
            )


def reindex_next(bench: Workbench, generations_dir: Path, job_id: str) -> bool:
    """Do the next step of a reindex or compaction; False: the job has ended."""
    with bench.database.write() as session:
        if not begin_job(session, job_id):
            return False
        job = find_job(session, job_id)
        generation = session.get(Generation, generation_of(job) or "")
        manual, trial = bool(job.options.get("manual")), Trial.from_options(job.options)
    if generation is None or generation.state == "failed":
        return _give_up(bench.database, job_id, "Its generation is gone or was given up; start again.")
    try:
        return _go_on(bench, generations_dir, job_id, generation, manual=manual, trial=trial)
    except (CorpusError, FileNotFoundError) as error:
        if _is_gone(bench.database, job_id):
            return False
        if not isinstance(error, CorpusError):
            raise
        _log.warning("reindexing by job %s failed", job_id, exc_info=error)
        return _give_up(bench.database, job_id, str(error))


def _go_on(
    bench: Workbench,
    generations_dir: Path,
    job_id: str,
    generation: Generation,
    *,
    manual: bool,
    trial: Trial | None,
) -> bool:
    if generation.state in {"active", "retired"}:  # the latter by a rollback, which is not undone
        _discard_superseded(bench.database, generations_dir, generation.collection_id)
        return _complete(bench.database, job_id)
    if generation.state == "ready" and manual:
        return _complete(bench.database, job_id, stage="ready")
    if generation.state == "building":
        _count_what_is_missing(bench.database, job_id, generation)
    added = catch_up(bench, generation.id)
    if added:
        _note(bench.database, job_id, stage="embedding", added=added)
    elif generation.state == "building":
        _build(bench, generations_dir, job_id, generation.id, trial)
    else:
        _note(bench.database, job_id, stage="promoting")
        with bench.database.write() as session:
            in_place_of = replaced_by(find_job(session, job_id))
            # If it is behind by now, the next step catches up.
            promote_generation(session, generation.id, in_place_of=in_place_of)
    return True


def _build(
    bench: Workbench, generations_dir: Path, job_id: str, generation_id: str, trial: Trial | None
) -> None:
    _note(bench.database, job_id, stage="building")
    number, count = build_base(bench.database, generations_dir, generation_id, pause=bench.pause)
    with bench.database.write() as session:
        generation = find_generation(session, generation_id)
        generation.change_number, generation.vector_count = number, count
    _note(bench.database, job_id, stage="verifying")
    verify_base(bench.database, generations_dir, generation_id)
    if trial is not None:
        embedder = bench.find_embedder(generation.embedder, generation.embedder_source)
        pass_trial(bench.database, generations_dir / generation_id, embedder, trial)
    with bench.database.write() as session:
        generation = find_generation(session, generation_id)
        if generation.state == "building":
            generation.state = "ready"


def discard_abandoned(database: Database, generations_dir: Path) -> None:
    """Discard generations whose job was cancelled or failed, and all leavings of discarded ones."""
    with database.write() as session:
        # First the generations, held as they are: each came with its job, which can be seen then too.
        building = select(Generation).where(Generation.state == "building").order_by(Generation.id)
        begun = session.scalars(building.with_for_update()).all()
        jobs = session.scalars(select(Job).where(Job.kind.in_(REBUILDS), Job.state.not_in(FINISHED)))
        wanted = {generation_of(job) for job in jobs}
        for generation in begun:
            if generation.id not in wanted:
                fail_generation(session, generation.id, "Its job was cancelled or failed.")
        collections = set(session.scalars(select(Generation.collection_id).distinct()))
    for collection_id in sorted(collections):
        _discard_superseded(database, generations_dir, collection_id)


def _discard_superseded(database: Database, generations_dir: Path, collection_id: str) -> None:
    with database.write() as session:
        lock_active_generation(session, collection_id)  # nobody rolls back to one of them meanwhile
        superseded = superseded_generations(session, collection_id)
        for generation_id in superseded:
            discard_generation(session, generation_id)
    for generation_id in superseded:
        remove_generation_files(generations_dir, generation_id)
    more = True
    while more:
        with database.write() as session:
            more = prune_leavings(session, collection_id)


def _count_what_is_missing(database: Database, job_id: str, generation: Generation) -> None:
    """Note once how much there is to do, for progress and time left."""
    with database.write() as session:
        job = find_job(session, job_id, lock=True)
        if "total" not in job.options:
            uncut = select(func.count()).select_from(Document).where(uncut_documents(generation))
            unembedded = select(func.count()).select_from(Chunk).where(unembedded_chunks(generation))
            total = session.execute(uncut).scalar_one() + session.execute(unembedded).scalar_one()
            job.options = {**job.options, "total": total, "done": 0}


def _note(database: Database, job_id: str, *, stage: str, added: int = 0) -> None:
    with database.write() as session:
        job = find_job(session, job_id, lock=True)
        job.stage = stage
        done = int(job.options.get("done", 0)) + added
        job.options = {**job.options, "done": done, "total": max(done, int(job.options.get("total", 0)))}


def _complete(database: Database, job_id: str, *, stage: str | None = None) -> bool:
    with database.write() as session:
        job = find_job(session, job_id, lock=True)
        if job.state not in FINISHED:
            job.state, job.stage, job.finished_at = "completed", stage, now()
    return False


def _is_gone(database: Database, job_id: str) -> bool:
    """Tell whether the collection was deleted, and with it its jobs, generations and their folders."""
    with database.read() as session:
        return session.get(Job, job_id) is None


def _give_up(database: Database, job_id: str, error: str) -> bool:
    with suppress(JobNotFound), database.write() as session:  # it went with its collection
        job = find_job(session, job_id, lock=True)
        fail_generation(session, generation_of(job) or "", error)
        fail_job(session, job_id, error)
    return False
