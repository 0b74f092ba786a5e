"""Compaction, reindexing, promotion and rollback, with a worker in this process, on both databases."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import event, func, select

from corpus.collections import active_generation, create_collection
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import Conflict, EmbedderMismatch
from corpus.follower import Follower
from corpus.models import Chunk, Document, Embedding, Generation, Tombstone, now
from corpus.originals import Originals
from indexer.deletion import remove_document
from indexer.generations import (
    find_generation,
    former_generation,
    list_generations,
    promote_generation,
    superseded_generations,
)
from indexer.intake import add_to_job, take_in
from indexer.jobs import create_job, seal_job
from indexer.rebuilds import cancel_reindex, request_compaction, request_promotion, request_reindex
from indexer.reindexing import activate_generation, discard_abandoned
from indexer.targets import Embedders
from indexer.trial import Trial, TrialQuestion
from indexer.uploads import Upload
from indexer.workflows import Worker
from tests.fakes import FakeEmbedder
from tests.workers import PlainTextParser

OLD = FakeEmbedder()
NEW = FakeEmbedder(dimension=16, name="second")


def find_embedder(embedder_id: str, _: str | None = None, /) -> Embedder:
    """Return one of the two embedders."""
    for embedder in (OLD, NEW):
        if embedder.id == embedder_id:
            return embedder
    raise EmbedderMismatch(embedder_id)


@pytest.fixture
def originals(tmp_path: Path) -> Originals:
    """Return the store that the worker reads."""
    return Originals(tmp_path / "originals")


@pytest.fixture
def worker(database: Database, originals: Originals, tmp_path: Path) -> Iterator[Worker]:
    """Yield a running worker that has two embedders."""
    with Worker(
        database,
        originals=originals,
        parser=PlainTextParser(),
        find_embedder=find_embedder,
        data_dir=tmp_path,
    ) as worker:
        yield worker


@pytest.fixture
def collection(database: Database, originals: Originals, worker: Worker) -> str:
    """Return the id of a collection with twenty documents."""
    with database.write() as session:
        collection_id = create_collection(session, name="default", embedder=OLD).id
        job_id = create_job(session, "ingestion", collection_id=collection_id, receiving=True).id
    texts = [f"number {n}. " * (n % 5 + 1) for n in range(20)]
    add_to_job(database, originals, job_id, [(text.encode(), Upload(collection_id)) for text in texts])
    with database.write() as session:
        seal_job(session, job_id)
    assert worker.wait(job_id, timeout_s=30).counts.done == 20
    return collection_id


def follow(database: Database, tmp_path: Path) -> Follower:
    """Return a follower that has seen everything."""
    follower = Follower(database, tmp_path / "generations")
    follower.refresh()
    return follower


def chunk_ids(database: Database, embedder: Embedder) -> set[int]:
    """Return the chunks that have a vector of this embedder."""
    with database.read() as session:
        return set(session.scalars(select(Embedding.chunk_id).where(Embedding.embedder == embedder.id)))


def test_compaction_folds_tail_and_tombstones_into_a_new_base(
    worker: Worker, database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """The new generation serves, its files hold what lives, and an index loaded from it agrees."""
    with database.read() as session:
        first = active_generation(session, collection).id
        doomed = session.scalars(select(Document.id).limit(5)).all()
    for document_id in doomed:
        remove_document(database, originals, document_id)
    with database.write() as session:
        job_id = request_compaction(session, collection).id
    assert worker.wait(job_id, timeout_s=30).status == "completed"
    with database.read() as session:
        active = active_generation(session, collection)
        states = {each.id: each.state for each in list_generations(session, collection)}
    assert states == {first: "retired", active.id: "active"}
    assert active.vector_count == len(chunk_ids(database, OLD))
    indexes = follow(database, tmp_path).indexes(collection)
    assert set(indexes.vectors.ids().tolist()) == chunk_ids(database, OLD)
    assert (tmp_path / "generations" / active.id / "manifest.json").exists()


def test_only_one_former_generation_is_kept_and_old_tombstones_go(
    worker: Worker, database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """The third generation retires the second and discards the first, with its files."""
    with database.read() as session:
        doomed = session.scalars(select(Document.id).limit(3)).all()
    for document_id in doomed:
        remove_document(database, originals, document_id)
    for _ in range(3):
        with database.write() as session:
            job_id = request_compaction(session, collection).id
        assert worker.wait(job_id, timeout_s=30).status == "completed"
    with database.read() as session:
        generations = list_generations(session, collection)
        assert session.execute(select(func.count()).select_from(Tombstone)).scalar_one() == 0
    assert sorted(each.state for each in generations) == ["active", "retired"]
    folders = {entry.name for entry in (tmp_path / "generations").iterdir()}
    assert folders == {each.id for each in generations}


def test_a_reindex_changes_embedder_and_chunking_and_can_be_rolled_back(
    worker: Worker, database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """Documents that come and go after the switch are right in both generations."""
    with database.read() as session:
        first = active_generation(session, collection).id
        doomed = session.scalars(select(Document.id)).first()
    with database.write() as session:
        job_id = request_reindex(session, collection, embedder=NEW, max_tokens=40, overlap=0).id
    progress = worker.wait(job_id, timeout_s=60)
    assert (progress.status, progress.error) == ("completed", None)
    later = take_in(database, originals, b"a late document", Upload(collection))
    assert later.job is not None
    worker.wait(later.job.id, timeout_s=20)
    assert doomed is not None
    remove_document(database, originals, doomed)
    follower = follow(database, tmp_path)
    indexes = follower.indexes(collection)
    assert (indexes.embedder, indexes.chunking) == (NEW.id, "second/40/0")
    assert set(indexes.vectors.ids().tolist()) == chunk_ids(database, NEW)

    activate_generation(database, first)
    follower.refresh()
    indexes = follower.indexes(collection)
    assert indexes.embedder == OLD.id
    assert set(indexes.vectors.ids().tolist()) == chunk_ids(database, OLD)
    with database.read() as session:
        late_chunks = session.scalars(select(Chunk.id).where(Chunk.document_id == later.document.id)).all()
        assert session.execute(select(func.count()).select_from(Document)).scalar_one() == 20
    assert len(set(late_chunks) & set(indexes.vectors.ids().tolist())) == 1


def test_a_compaction_does_not_undo_a_rollback_that_comes_while_it_runs(
    worker: Worker, database: Database, collection: str
) -> None:
    """It was made in the place of what serves no more: it fails and says so, and nothing of it is kept."""
    with database.write() as session:
        first = active_generation(session, collection).id
        job_id = request_reindex(session, collection, embedder=NEW).id
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    with database.write() as session:
        job_id = request_compaction(session, collection).id
        assert promote_generation(session, first)
    job = worker.wait(job_id, timeout_s=60)
    assert (job.status, "serves by now" in (job.error or "")) == ("failed", True)
    with database.read() as session:
        states = {each.state for each in list_generations(session, collection)}
        assert active_generation(session, collection).id == first
    assert states == {"active", "retired", "failed"}


def test_a_reindex_embeds_only_what_is_missing(worker: Worker, database: Database, collection: str) -> None:
    """With the same embedder and chunking nothing is embedded again."""
    embedded = OLD.embedded_passages
    with database.write() as session:
        job_id = request_reindex(session, collection, embedder=OLD).id
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    assert OLD.embedded_passages == embedded


def test_a_manual_reindex_stops_at_ready_until_it_is_promoted(
    worker: Worker, database: Database, collection: str
) -> None:
    """Until then the old generation serves, and only one rebuild runs at a time."""
    with database.write() as session:
        job_id = request_reindex(session, collection, embedder=NEW, manual=True).id
        with pytest.raises(Conflict):
            request_compaction(session, collection)
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    with database.read() as session:
        assert active_generation(session, collection).embedder == OLD.id
    with database.write() as session:
        request_promotion(session, job_id)
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    with database.read() as session:
        assert active_generation(session, collection).embedder == NEW.id


def test_a_reindex_that_finds_too_little_does_not_serve(
    worker: Worker, database: Database, originals: Originals, collection: str
) -> None:
    """Of two documents that an evaluation wants the new index has one: more is not enough, half is."""
    upload = Upload(collection, external_id="crew")
    accepted = take_in(database, originals, b"Orson Kovacs keeps the generators.", upload)
    assert accepted.job is not None
    worker.wait(accepted.job.id, timeout_s=20)
    questions = (TrialQuestion("who keeps the generators", ("crew", "lost")),)
    for least_recall, status, serving in ((0.6, "failed", OLD), (0.5, "completed", NEW)):
        with database.write() as session:
            trial = Trial(questions, least_recall)
            job_id = request_reindex(session, collection, embedder=NEW, trial=trial).id
        job = worker.wait(job_id, timeout_s=60)
        assert (job.status, (job.error or "recall@10")[:9]) == (status, "recall@10")
        with database.read() as session:
            assert active_generation(session, collection).embedder == serving.id


def test_a_cancelled_reindex_leaves_nothing(
    worker: Worker, database: Database, collection: str, tmp_path: Path
) -> None:
    """Rows, vectors and files of the unfinished generation go; the old one serves on."""
    with database.write() as session:
        job_id = request_reindex(session, collection, embedder=NEW, manual=True).id
    worker.wait(job_id, timeout_s=60)
    with database.write() as session:
        cancel_reindex(session, job_id)
    discard_abandoned(database, tmp_path / "generations")
    with database.read() as session:
        (left,) = list_generations(session, collection)
    assert left.embedder == OLD.id
    assert chunk_ids(database, NEW) == set()
    assert list((tmp_path / "generations").iterdir()) == []


def test_a_reindex_that_is_asked_for_while_others_are_discarded_goes_on(
    postgresql_url: str, tmp_path: Path
) -> None:
    """Its generation is never seen without its job."""
    database = Database(postgresql_url)
    with database.write() as session:
        collection = create_collection(session, name="default", embedder=OLD).id
    statements: list[object] = []

    def ask(*about: object) -> None:
        statements.append(about)
        if len(statements) == 1:
            with database.write() as session:
                request_reindex(session, collection, embedder=NEW)

    event.listen(database.engine, "after_cursor_execute", ask)  # after the first question of the other
    discard_abandoned(database, tmp_path / "generations")
    with database.read() as session:
        states = {each.state for each in list_generations(session, collection)}
    assert states == {"active", "building"}
    database.close()


def test_workers_load_an_embedder_from_its_source(
    database: Database, originals: Originals, tmp_path: Path
) -> None:
    """A worker that was started before the reindex was asked for builds it all the same."""
    find = Embedders([OLD], load={"second-folder": NEW}.__getitem__)
    with database.write() as session:
        collection_id = create_collection(session, name="default", embedder=OLD).id
        job_id = request_reindex(session, collection_id, embedder=NEW, source="second-folder").id
    with Worker(
        database, originals=originals, parser=PlainTextParser(), find_embedder=find, data_dir=tmp_path
    ) as worker:
        assert worker.wait(job_id, timeout_s=30).status == "completed"
        accepted = take_in(database, originals, b"text", Upload(collection_id))
        assert accepted.job is not None
        worker.wait(accepted.job.id, timeout_s=30)
    assert len(chunk_ids(database, NEW)) == len(chunk_ids(database, OLD)) == 1


def test_a_former_generation_of_another_embedder_is_kept_for_a_week(
    worker: Worker, database: Database, collection: str
) -> None:
    """One of the same embedder costs nothing and stays."""
    with database.write() as session:
        job_id = request_reindex(session, collection, embedder=NEW).id
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    with database.write() as session:
        active = active_generation(session, collection)
        assert superseded_generations(session, collection) == []
        active.activated_at = now() - timedelta(days=8)
        (former,) = superseded_generations(session, collection)
        assert former != active.id
        active.embedder, active.chunking = OLD.id, find_generation(session, former).chunking
        assert superseded_generations(session, collection) == []
        session.rollback()


def test_compactions_do_not_cost_what_a_rollback_goes_back_to(
    worker: Worker, database: Database, collection: str
) -> None:
    """They begin by themselves. A week after the reindex, not after the last of them, it goes."""
    with database.write() as session:
        first = active_generation(session, collection).id
        job_id = request_reindex(session, collection, embedder=NEW).id
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    for _ in range(3):
        with database.write() as session:
            job_id = request_compaction(session, collection).id
        assert worker.wait(job_id, timeout_s=60).status == "completed"
    with database.write() as session:
        former = former_generation(session, collection)
        assert former is not None
        assert former.id == first
        assert len(list_generations(session, collection)) == 4  # active, retired, it, and its successor
        reindexed = min(
            (each for each in list_generations(session, collection) if each.embedder == NEW.id),
            key=lambda each: each.id,
        )
        former.activated_at = now() - timedelta(days=9)
        reindexed.activated_at = now() - timedelta(days=8)
        assert set(superseded_generations(session, collection)) == {first, reindexed.id}
        session.rollback()
    activate_generation(database, first)
    with database.read() as session:
        assert active_generation(session, collection).id == first


def test_a_rollback_undoes_a_reindex_that_changed_the_index_alone(
    worker: Worker, database: Database, collection: str
) -> None:
    """It goes back to what was searched otherwise, and not to the embedder before."""
    for choice in ({"embedder": NEW}, {"embedder": NEW, "index_type": "flat"}):
        with database.write() as session:
            before = active_generation(session, collection).id
            job_id = request_reindex(session, collection, **choice).id  # type: ignore[arg-type]
        assert worker.wait(job_id, timeout_s=60).status == "completed"
    with database.write() as session:
        job_id = request_compaction(session, collection).id
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    with database.read() as session:
        former = former_generation(session, collection)
        assert former is not None
        assert former.id == before


def test_a_reindex_whose_embedder_is_missing_fails_and_says_so(
    worker: Worker, database: Database, collection: str
) -> None:
    """The job fails with a reason; the collection goes on as before."""
    with database.write() as session:
        job_id = request_reindex(session, collection, embedder=FakeEmbedder(name="third")).id
    progress = worker.wait(job_id, timeout_s=30)
    assert progress.status == "failed"
    assert "third" in (progress.error or "")
    with database.read() as session:
        assert {each.state for each in session.scalars(select(Generation))} == {"active", "failed"}


def test_search_results_are_never_empty_or_stale_while_a_reindex_runs(
    worker: Worker, database: Database, originals: Originals, collection: str, tmp_path: Path
) -> None:
    """A reader that searches all the time finds each living document and no deleted one."""
    follower = follow(database, tmp_path)
    with database.write() as session:
        job_id = request_reindex(session, collection, embedder=NEW, max_tokens=40, overlap=0).id
    with database.read() as session:
        living = set(session.scalars(select(Document.id)))
    while worker.wait(job_id, timeout_s=0).status in {"queued", "running"}:
        doomed = living.pop()
        remove_document(database, originals, doomed)
        follower.refresh()
        indexes = follower.indexes(collection)
        query = find_embedder(indexes.embedder).embed_queries(["number"])
        _, found = indexes.vectors.search(query, 200)
        with database.read() as session:
            rows = session.execute(
                select(Chunk.document_id).where(Chunk.id.in_(found[found >= 0].tolist()))
            ).scalars()
            assert set(rows) == living
        time.sleep(0.05)
        if len(living) < 3:
            break
    assert worker.wait(job_id, timeout_s=60).status == "completed"
    assert np.all(follower.indexes(collection).vectors.ids() >= 0)
