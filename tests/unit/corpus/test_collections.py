"""Making, finding, listing and deleting collections."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from corpus.collections import (
    active_generation,
    checked_name,
    create_collection,
    delete_collection,
    find_collection,
    find_or_create_collection,
    list_collections,
    summarize_collection,
)
from corpus.errors import CollectionExists, CollectionNotFound, InvalidRequest, NotReady
from corpus.models import ActiveGeneration, Collection, Document, DocumentVersion, Generation
from tests.factories import migrated_database
from tests.fakes import FakeEmbedder

EMBEDDER = FakeEmbedder(dimension=16, max_tokens=64)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    """Open a write transaction on a fresh database."""
    database = migrated_database(tmp_path)
    with database.write() as session:
        yield session
    database.close()


def test_new_collection_has_an_active_empty_generation(session: Session) -> None:
    """A new collection can be searched at once: its generation is active and empty."""
    collection = create_collection(session, name="polar", embedder=EMBEDDER, description="the station")
    generation = active_generation(session, collection.id)
    assert (generation.state, generation.index_type, generation.change_number) == ("active", "auto", 0)
    assert (generation.embedder, generation.dimension) == (EMBEDDER.id, 16)
    assert generation.chunking == "fake/64/8"
    assert generation.activated_at is not None


def test_chunk_sizes_are_pinned(session: Session) -> None:
    """The asked-for chunk size and overlap are what the generation keeps."""
    collection = create_collection(session, name="short", embedder=EMBEDDER, max_tokens=40, overlap=0)
    assert active_generation(session, collection.id).chunking == "fake/40/0"


@pytest.mark.parametrize(("max_tokens", "overlap"), [(65, None), (31, None), (64, 33), (64, -1), (0, 0)])
def test_chunk_sizes_that_do_not_fit_are_refused(
    session: Session, max_tokens: int, overlap: int | None
) -> None:
    """A chunk longer than the embedder reads, or an overlap above its half, is refused by field name."""
    with pytest.raises(InvalidRequest, match=r"^(max_tokens|overlap): "):
        create_collection(session, name="x", embedder=EMBEDDER, max_tokens=max_tokens, overlap=overlap)


def test_a_name_is_taken_once(session: Session) -> None:
    """The second collection of a name is a conflict, and the transaction goes on."""
    create_collection(session, name="polar", embedder=EMBEDDER)
    with pytest.raises(CollectionExists, match="polar"):
        create_collection(session, name="polar", embedder=EMBEDDER)
    create_collection(session, name="other", embedder=EMBEDDER)
    assert session.scalar(select(func.count()).select_from(Generation)) == 2


@pytest.mark.parametrize("name", ["a", "Station reports 2024", "Bücher", "हिन्दी", "東京", "a:b", "x" * 200])
def test_usual_names_are_fine(name: str) -> None:
    """Letters of any script, digits, spaces and most punctuation make a name."""
    assert checked_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 201,
        "col_1",
        " a",
        "a ",
        "a/b",
        "a\\b",
        "a\nb",
        "a\0",
        "..",
        ".hidden",
        "a?b",
        "100%",
        "\ud800",
    ],
)
def test_odd_names_are_refused(name: str) -> None:
    """A name that could be an id, a path or invisible is refused."""
    with pytest.raises(InvalidRequest, match=r"^name: "):
        checked_name(name)


def test_composed_and_decomposed_names_are_one(session: Session) -> None:
    """The same letters typed on another system find the same collection."""
    made = create_collection(session, name="Bu\u0308cher", embedder=EMBEDDER)
    assert find_collection(session, "B\u00fccher").id == made.id


def test_found_by_name_and_by_id(session: Session) -> None:
    """A collection answers to its name and to its id."""
    made = create_collection(session, name="polar", embedder=EMBEDDER)
    assert find_collection(session, "polar") is find_collection(session, made.id)


@pytest.mark.parametrize("name", ["none", "col_none", "", "a\0b"])
def test_unknown_collection(session: Session, name: str) -> None:
    """An unknown name or id is an error that says how to see the known ones."""
    with pytest.raises(CollectionNotFound, match="collections list"):
        find_collection(session, name)


def test_find_or_create_makes_one(session: Session) -> None:
    """Asking twice for the default collection makes it once."""
    first = find_or_create_collection(session, name="default", embedder=EMBEDDER)
    assert find_or_create_collection(session, name="default", embedder=EMBEDDER).id == first.id


def test_collection_without_active_generation(session: Session) -> None:
    """A collection whose generation is not active is not ready, one that is not there is not found."""
    made = create_collection(session, name="polar", embedder=EMBEDDER)
    session.delete(session.get_one(ActiveGeneration, made.id))
    session.flush()
    with pytest.raises(NotReady, match="polar"):
        active_generation(session, made.id)
    with pytest.raises(CollectionNotFound):
        active_generation(session, "col_none")
    assert summarize_collection(session, made.id).embedder == ""


def test_list_is_paged_and_counts_documents(session: Session) -> None:
    """Pages follow each other by id, and each collection tells how many documents it has."""
    made = [create_collection(session, name=name, embedder=EMBEDDER) for name in ("a", "b", "c")]
    made.sort(key=lambda collection: collection.id)
    session.add(_document("doc_1", made[1], "1" * 64))
    session.flush()
    first = list_collections(session, limit=2)
    rest = list_collections(session, limit=2, after=first[-1].id)
    assert [item.id for item in first + rest] == [collection.id for collection in made]
    assert [item.document_count for item in first + rest] == [0, 1, 0]
    assert summarize_collection(session, made[1].id) == first[1]
    assert first[0].chunking == "fake/64/8"


def test_summary_of_an_unknown_collection(session: Session) -> None:
    """There is no summary of what is not there."""
    with pytest.raises(CollectionNotFound):
        summarize_collection(session, "col_none")


def test_delete_takes_everything_and_names_what_is_left(session: Session) -> None:
    """Rows go with the collection; whoever removes the bytes looks whether another collection uses them."""
    keep, drop = (create_collection(session, name=name, embedder=EMBEDDER) for name in ("keep", "drop"))
    generation = active_generation(session, drop.id).id
    for number, (collection, sha256) in enumerate(
        [(keep, "1" * 64), (drop, "1" * 64), (drop, "2" * 64)], start=1
    ):
        document = _document(f"doc_{number}", collection, sha256)
        session.add(document)
        session.flush()
        session.add(
            DocumentVersion(
                document_id=document.id,
                version=1,
                collection_id=collection.id,
                state="current",
                sha256=sha256,
            )
        )
    session.flush()
    left = delete_collection(session, drop.id)
    assert left.originals == ("1" * 64, "2" * 64)
    assert left.generations == (generation,)
    assert session.scalars(select(Collection.name)).all() == ["keep"]
    assert session.scalars(select(Document.id)).all() == ["doc_1"]
    with pytest.raises(CollectionNotFound):
        delete_collection(session, drop.id)


def _document(document_id: str, collection: Collection, sha256: str) -> Document:
    return Document(
        id=document_id,
        collection_id=collection.id,
        status="ready",
        version=1,
        title="t",
        media_type="text/plain",
        sha256=sha256,
    )
