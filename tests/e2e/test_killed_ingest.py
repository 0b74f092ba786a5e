"""`rag ingest` killed with SIGKILL at random moments: whole documents, no duplicates, nothing lost."""

import random
import time
from pathlib import Path

import pytest
from sqlalchemy import func, select

from corpus.database import Database
from corpus.follower import Follower
from corpus.models import Chunk, Collection, Document, DocumentVersion, Embedding
from tests.nursery import nursery
from tests.workplace import Workplace

KILLS = 20
FILES_A_ROUND = 15
IMPORTED = ("tests.rag_with_fakes", "rag_service.worker")
LONGEST_LIFE_S = 1.5  # after the first sign of progress; a round's files take about as long


@pytest.mark.slow
def test_twenty_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """After each kill every document is whole or not there; the last run finishes all 300 files."""
    moments = random.Random(20)  # noqa: S311 - moments, no secrets
    place = Workplace(tmp_path)
    texts: dict[str, str] = {}
    with nursery(*IMPORTED) as program:
        for number in range(KILLS):
            texts |= write_files(place, number)
            process = program.start("tests.rag_with_fakes:run", "ingest", "documents", "--json", cwd=tmp_path)
            process.stdout.readline()
            time.sleep(moments.uniform(0, LONGEST_LIFE_S))
            process.kill()
            process.wait()
            check_database(place)
    last = place.rag("ingest", "documents")
    assert last.code == 0, last.err
    check_everything_is_there(place, texts)


def write_files(place: Workplace, number: int) -> dict[str, str]:
    """Write a round's documents, several chunks each."""
    texts = {
        f"{number:02}/{index:02}.txt": "".join(
            f"Sledge {number}-{index} carries crate {crate} of {crate * 7} kilograms.\n"
            for crate in range(20)
        )
        for index in range(FILES_A_ROUND)
    }
    for name, text in texts.items():
        place.write(name, text)
    return texts


def check_database(place: Workplace) -> None:
    """Ready documents have all their chunks and vectors, others have none."""
    database = Database(f"sqlite:///{place.data_dir / 'rag.sqlite3'}")
    counted = (
        select(Document.status, Document.chunk_count, func.count(Chunk.id), func.count(Embedding.chunk_id))
        .outerjoin(Chunk, Chunk.document_id == Document.id)
        .outerjoin(Embedding, Embedding.chunk_id == Chunk.id)
        .group_by(Document.id)
    )
    with database.read() as session:
        rows = session.execute(counted).all()
    database.close()
    for status, chunk_count, chunks, vectors in rows:
        assert status in {"pending", "processing", "ready"}
        assert chunks == vectors == chunk_count
        assert (chunks > 0) == (status == "ready")


def check_everything_is_there(place: Workplace, texts: dict[str, str]) -> None:
    """Each file is one document with its text, in version 1; both indexes hold exactly its chunks."""
    database = Database(f"sqlite:///{place.data_dir / 'rag.sqlite3'}")
    follower = Follower(database, place.data_dir / "generations")
    follower.refresh()
    with database.read() as session:
        documents = session.execute(
            select(Document.external_id, Document.status, Document.version, DocumentVersion.text).join(
                DocumentVersion, DocumentVersion.document_id == Document.id
            )
        ).all()
        chunks = set(session.scalars(select(Chunk.id)))
        indexes = follower.indexes(session.scalars(select(Collection.id)).one())
    assert {(status, version) for _, status, version, _ in documents} == {("ready", 1)}
    assert len(documents) == len(texts)
    assert {name: text for name, _, _, text in documents} == texts
    assert set(indexes.vectors.ids().tolist()) == set(indexes.lexical.ids().tolist()) == chunks
    database.close()
