"""What happens between the reading of a document and its saving: promotions, reindexes, new titles."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import func, select, update

from corpus.collections import active_generation, create_collection, delete_collection
from corpus.database import Database
from corpus.embedding import Embedder
from corpus.errors import EmbedderMismatch, GenerationNotFound
from corpus.follower import Follower
from corpus.models import Chunk, Document, Embedding, Generation, Job, JobItem, Tombstone, now
from corpus.originals import Originals
from corpus.vector_index.encoding import encode_vector
from indexer import rebuilds, reindexing
from indexer.building import remove_generation_files
from indexer.claims import TRIES
from indexer.consistency import check
from indexer.deletion import remove_document
from indexer.generations import discard_generation, find_generation, prune_leavings
from indexer.ingest import Workbench, ingest_next
from indexer.intake import take_in
from indexer.jobs import cancel_job, retry_job
from indexer.rebuilds import request_compaction, request_reindex
from indexer.reindexing import activate_generation, reindex_next
from indexer.turns import Turns
from indexer.uploads import Upload
from rag_service.documents import change_document
from tests.fakes import FakeEmbedder
from tests.workers import PlainTextParser

SECOND = FakeEmbedder(dimension=16, name="second")
LONG = "One sentence of eight words is repeated here. " * 40


class InterruptedEmbedder(FakeEmbedder):
    """Lets something else happen once, while it embeds."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed after what happens meanwhile."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return super().embed_passages(texts)


@pytest.fixture
def first() -> InterruptedEmbedder:
    """Return the embedder of the collection's first generation."""
    return InterruptedEmbedder()


@pytest.fixture
def bench(database: Database, tmp_path: Path, first: InterruptedEmbedder) -> Workbench:
    """Return what a worker has, without the worker: steps are done one by one."""

    def find(embedder_id: str, _: str | None = None, /) -> Embedder:
        for embedder in (first, SECOND):
            if embedder.id == embedder_id:
                return embedder
        raise EmbedderMismatch(embedder_id)

    return Workbench(database, Originals(tmp_path / "originals"), PlainTextParser(), find, Turns())


@pytest.fixture
def collection(database: Database, first: InterruptedEmbedder) -> str:
    """Return the id of an empty collection."""
    with database.write() as session:
        return create_collection(session, name="default", embedder=first).id


@pytest.fixture
def generations(tmp_path: Path) -> Path:
    """Return the folder of the generations."""
    return tmp_path / "generations"


def upload(bench: Workbench, collection: str, text: str, *, name: str = "a") -> str:
    """Take in a text and read it; return the document's id."""
    accepted = take_in(
        bench.database,
        bench.originals,
        text.encode(),
        Upload(collection, external_id=name, title="Old title"),
    )
    assert accepted.job is not None
    work_off(bench, accepted.job.id)
    return accepted.document.id


def work_off(bench: Workbench, job_id: str) -> None:
    """Do a job of reading to its end."""
    while ingest_next(bench, job_id):
        pass


def reindex(
    bench: Workbench, collection: str, generations: Path, embedder: Embedder, *, manual: bool = False
) -> str:
    """Build a generation with shorter chunks to its end, as another worker would; return its id."""
    bench = replace(bench, turns=Turns())
    with bench.database.write() as session:
        job = request_reindex(session, collection, embedder=embedder, max_tokens=40, overlap=0, manual=manual)
    while reindex_next(bench, generations, job.id):
        pass
    return str(job.options["generation"])


def require_whole(bench: Workbench, generations: Path) -> None:
    """Nothing disagrees."""
    assert check(bench.database, bench.originals, generations, grace_s=-1) == []


class BusyTurns(Turns):
    """Somebody always has the embedder, but lets others go first."""

    taken = True


def test_the_words_of_a_document_whose_job_is_cancelled_are_not_found(
    bench: Workbench, collection: str, first: InterruptedEmbedder, generations: Path
) -> None:
    """An urgent document was found by its words before its vectors failed; then its job was cancelled."""

    def fall_off() -> None:
        raise OSError("the embedder fell off")

    first.meanwhile = fall_off
    accepted = take_in(bench.database, bench.originals, b"A secret.", Upload(collection))
    assert accepted.job is not None
    assert ingest_next(replace(bench, turns=BusyTurns()), accepted.job.id, urgent=True)
    with bench.database.read() as session:
        assert session.scalars(select(Chunk.text)).all() == ["A secret."]
    with bench.database.write() as session:
        cancel_job(session, accepted.job.id)
    with bench.database.read() as session:
        assert session.get_one(Document, accepted.document.id).status == "failed"
        assert session.scalars(select(Chunk.text)).all() == []
        assert session.execute(select(func.count()).select_from(Tombstone)).scalar_one() == 1
    require_whole(bench, generations)


@pytest.mark.parametrize("urgent", [True, False])
def test_what_is_being_read_while_its_job_is_cancelled_and_ended_is_saved_as_a_whole(
    bench: Workbench, collection: str, first: InterruptedEmbedder, generations: Path, *, urgent: bool
) -> None:
    """Another worker that takes the job up ends its items; the one that reads says what became of them."""
    accepted = take_in(bench.database, bench.originals, LONG.encode(), Upload(collection))
    job_id = accepted.job.id if accepted.job else ""

    def cancel() -> None:
        with bench.database.write() as session:
            cancel_job(session, job_id)
        assert not ingest_next(replace(bench, turns=Turns()), job_id)

    first.meanwhile = cancel
    reader = replace(bench, turns=BusyTurns())
    assert ingest_next(reader, job_id, urgent=urgent)
    assert not ingest_next(reader, job_id, urgent=urgent)
    with bench.database.read() as session:
        assert session.scalars(select(JobItem.state)).all() == ["done"]
        document = session.get_one(Document, accepted.document.id)
        assert (document.status, document.error) == ("ready", None)
        chunks = session.execute(select(func.count()).select_from(Chunk)).scalar_one()
        assert document.chunk_count == chunks > 1
    require_whole(bench, generations)


class InterruptedOriginals(Originals):
    """Lets something else happen before it reads."""

    meanwhile: Callable[[], object] = staticmethod(lambda: None)

    def read(self, sha256: str) -> bytes:
        """Read after what happens meanwhile."""
        self.meanwhile()
        return super().read(sha256)


@pytest.mark.parametrize("how", ["replaced", "deleted"])
def test_bytes_that_are_dropped_before_a_claimed_document_is_read_are_no_fault(
    bench: Workbench, collection: str, generations: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A client replaces or deletes what the worker has claimed: the item is skipped, quietly."""
    originals = InterruptedOriginals(bench.originals.folder)
    upload_of = Upload(collection, external_id="a", title="A")
    accepted = take_in(bench.database, originals, b"The first text.", upload_of)
    assert accepted.job is not None

    def interfere() -> None:
        if how == "deleted":
            remove_document(bench.database, originals, accepted.document.id)
        else:
            take_in(bench.database, originals, b"The second text.", upload_of, on_duplicate="replace")

    originals.meanwhile = interfere
    work_off(replace(bench, originals=originals), accepted.job.id)
    with bench.database.read() as session:
        assert session.scalars(select(JobItem.state).where(JobItem.job_id == accepted.job.id)).all() == [
            "skipped"
        ]
    assert "could not be read" not in caplog.text
    if how == "replaced":
        with bench.database.read() as session:
            (job_id,) = session.scalars(select(Job.id).where(Job.id != accepted.job.id))
        work_off(bench, job_id)
    require_whole(bench, generations)


def test_a_promotion_while_a_document_is_embedded_decides_its_count_of_chunks(
    bench: Workbench, collection: str, first: InterruptedEmbedder, generations: Path
) -> None:
    """The document tells how many chunks it has in the generation that serves when it is saved."""
    ready = reindex(bench, collection, generations, first, manual=True)
    first.meanwhile = lambda: activate_generation(bench.database, ready)
    document_id = upload(bench, collection, LONG)
    with bench.database.read() as session:
        assert active_generation(session, collection).id == ready
        chunks = session.scalars(
            select(Chunk.id).where(Chunk.document_id == document_id, Chunk.chunking == "fake/40/0")
        ).all()
        assert session.get_one(Document, document_id).chunk_count == len(chunks) > 1
    require_whole(bench, generations)


@pytest.mark.parametrize("replaced", [False, True])
def test_a_whole_reindex_while_a_document_is_embedded_does_not_lose_it(
    bench: Workbench,
    collection: str,
    first: InterruptedEmbedder,
    generations: Path,
    *,
    replaced: bool,
) -> None:
    """A document that was cut for the former generation is cut again for the one that serves now."""
    if replaced:
        upload(bench, collection, "A former version.")
    first.meanwhile = lambda: reindex(bench, collection, generations, SECOND)
    document_id = upload(bench, collection, LONG)
    with bench.database.read() as session:
        serving = active_generation(session, collection)
        assert serving.embedder == SECOND.id
        document = session.get_one(Document, document_id)
        assert (document.status, document.version) == ("ready", 2 if replaced else 1)
        assert document.chunk_count > 1
    require_whole(bench, generations)


@pytest.mark.parametrize("error", [FileNotFoundError("vectors.faiss.new"), GenerationNotFound("gen_1")])
def test_a_collection_that_is_deleted_while_its_index_is_written_ends_the_reindex(
    bench: Workbench,
    collection: str,
    generations: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """Its folder is gone in the midst of it, or the generation is not found: neither is a fault."""
    upload(bench, collection, LONG)
    with bench.database.write() as session:
        job = request_reindex(session, collection, embedder=SECOND, max_tokens=40, overlap=0)

    def lose(*_: object, **__: object) -> None:
        with bench.database.write() as session:
            delete_collection(session, collection)
        raise error

    monkeypatch.setattr(reindexing, "build_base", lose)
    while reindex_next(bench, generations, job.id):
        pass
    with bench.database.read() as session:
        assert session.scalars(select(Job.id)).all() == []


def test_a_reindex_that_goes_on_after_a_rollback_does_not_undo_it(
    bench: Workbench, collection: str, generations: Path
) -> None:
    """Its worker stopped between the promotion and the end of the job."""
    upload(bench, collection, LONG)
    with bench.database.write() as session:
        former = active_generation(session, collection).id
        job_id = request_reindex(session, collection, embedder=SECOND).id
    serving = former
    while serving == former:
        assert reindex_next(bench, generations, job_id)
        with bench.database.read() as session:
            serving = active_generation(session, collection).id
    activate_generation(bench.database, former)
    while reindex_next(bench, generations, job_id):
        pass
    with bench.database.read() as session:
        assert active_generation(session, collection).id == former
        assert session.get_one(Job, job_id).state == "completed"


def test_a_title_that_changes_while_a_document_is_embedded_is_kept(
    bench: Workbench, collection: str, first: InterruptedEmbedder, generations: Path
) -> None:
    """The reading that began under the old title does not bring it back."""

    def rename() -> None:
        with bench.database.write() as session:
            document_id = session.scalars(select(Document.id)).one()
            change_document(session, document_id, title="New title")

    first.meanwhile = rename
    document_id = upload(bench, collection, LONG)
    with bench.database.read() as session:
        assert session.get_one(Document, document_id).title == "New title"
    require_whole(bench, generations)


def test_a_title_that_changes_while_a_replacement_waits_is_embedded(
    bench: Workbench, collection: str, first: InterruptedEmbedder
) -> None:
    """The replacement can not be read, so that what serves goes on, under its new title."""
    document_id = upload(bench, collection, "Sledges.", name="a")
    take_in(bench.database, bench.originals, b"\xff\xff", Upload(collection, external_id="a"))
    with bench.database.write() as session:
        change_document(session, document_id, title="New title")
    with bench.database.read() as session:
        waiting = session.scalars(select(Job.id).where(Job.state == "queued").order_by(Job.id)).all()
    for job_id in waiting:
        while ingest_next(bench, job_id):
            pass
    with bench.database.read() as session:
        document = session.get_one(Document, document_id)
        (vector,) = session.scalars(select(Embedding.vector)).all()
    assert (document.status, document.version, document.title) == ("ready", 1, "New title")
    assert vector == encode_vector(first.embed_passages(["New title\nSledges."])[0])


def test_a_title_that_changes_needs_no_bytes(
    bench: Workbench, collection: str, first: InterruptedEmbedder
) -> None:
    """They are lost, but not what was read of them; that is embedded under the new title."""
    document_id = upload(bench, collection, "Sledges.")
    with bench.database.write() as session:
        document = session.get_one(Document, document_id)
        bench.originals.delete(document.sha256)
        change_document(session, document_id, title="New title")
    with bench.database.read() as session:
        (job_id,) = session.scalars(select(Job.id).where(Job.state == "queued"))
    work_off(bench, job_id)
    with bench.database.read() as session:
        document = session.get_one(Document, document_id)
        (vector,) = session.scalars(select(Embedding.vector)).all()
    assert (document.status, document.error, document.title) == ("ready", None, "New title")
    assert (document.version, document.media_type, document.chunk_count) == (1, "text/plain", 1)
    assert vector == encode_vector(first.embed_passages(["New title\nSledges."])[0])


def test_a_title_that_can_not_be_embedded_is_told_and_found_by_its_words(
    bench: Workbench, collection: str, first: InterruptedEmbedder, generations: Path
) -> None:
    """A process that runs finds it as one that starts does; a retry embeds it."""
    follower = Follower(bench.database, generations)
    document_id = upload(bench, collection, "Sledges.")
    follower.indexes(collection)
    with bench.database.write() as session:
        change_document(session, document_id, title="Huskies")
    with bench.database.read() as session:
        (job_id,) = session.scalars(select(Job.id).where(Job.state == "queued"))
    for _ in range(TRIES):
        first.meanwhile = fail_to_embed
        assert ingest_next(bench, job_id)
        rest(bench.database, job_id)
    work_off(bench, job_id)
    with bench.database.read() as session:
        document = session.get_one(Document, document_id)
    assert (document.status, document.title, document.error) == ("ready", "Huskies", "OSError: too hot")
    for each in (follower, Follower(bench.database, generations)):
        each.refresh()
        assert len(each.indexes(collection).lexical.search("huskies", 5)) == 1
    with bench.database.write() as session:
        retry_job(session, job_id)
    work_off(bench, job_id)
    with bench.database.read() as session:
        (vector,) = session.scalars(select(Embedding.vector)).all()
        assert session.get_one(Document, document_id).error is None
    assert vector == encode_vector(first.embed_passages(["Huskies\nSledges."])[0])


def fail_to_embed() -> None:
    """Do what an embedder does whose machine is ill."""
    raise OSError("too hot")


def rest(database: Database, job_id: str) -> None:
    """Let a job's documents have failed some time ago, so that they are tried again at once."""
    with database.write() as session:
        long_ago = now() - timedelta(minutes=1)
        session.execute(update(JobItem).where(JobItem.job_id == job_id).values(updated_at=long_ago))


def test_a_compaction_that_another_worker_begins_holds_up_no_other(
    bench: Workbench, collection: str, first: InterruptedEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that it is due; the next collection's begins all the same."""
    with bench.database.write() as session:
        other = create_collection(session, name="other", embedder=first).id
        request_compaction(session, collection)
    monkeypatch.setattr(rebuilds, "_due", lambda _: [collection, "col_gone", other])
    with bench.database.write() as session:
        assert [job.collection_id for job in rebuilds.compact_where_due(session)] == [other]


def test_leavings_are_cleared_away_by_whole_documents(
    bench: Workbench,
    collection: str,
    first: InterruptedEmbedder,
    generations: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A generation of the same chunking that begins in between finds all chunks of a document or none."""
    monkeypatch.setattr("indexer.generations._AT_ONCE", 3)
    for name in ("a", "b", "c"):
        upload(bench, collection, f"{name} {LONG}", name=name)
    former = reindex(bench, collection, generations, first, manual=True)
    short = select(func.count()).select_from(Chunk).where(Chunk.chunking == "fake/40/0")
    with bench.database.write() as session:
        cut = session.scalar(short)
        find_generation(session, former).state = "failed"
    with bench.database.write() as session:
        discard_generation(session, former)
    remove_generation_files(generations, former)
    with bench.database.write() as session:
        assert prune_leavings(session, collection)
    again = reindex(bench, collection, generations, first)
    with bench.database.read() as session:
        assert session.get_one(Generation, again).state == "active"
        assert session.scalar(short) == cut
    require_whole(bench, generations)
