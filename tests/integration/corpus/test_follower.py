"""Each process's indexes equal the database, whatever happened to it, on both databases."""

import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, update
from sqlalchemy.orm import Session

from corpus.collections import delete_collection
from corpus.database import Database
from corpus.errors import CollectionNotFound, IndexDamaged, NotReady
from corpus.follower import CollectionIndexes, Follower
from corpus.models import ActiveGeneration, ChangeSequence, Document, Embedding, Generation
from corpus.vector_index.generation_files import MANIFEST, VECTORS
from tests.factories import migrated_database
from tests.integration.corpus.library import EMBEDDER, Library

WORDS = ("ice", "diesel", "kovacs", "penguin", "radio")
some_texts = st.lists(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join), min_size=1, max_size=3
)
operations = st.one_of(
    st.tuples(st.sampled_from(["add", "add unembedded"]), some_texts),
    st.tuples(st.just("replace"), st.integers(0, 9), some_texts),
    st.tuples(st.sampled_from(["delete", "retitle"]), st.integers(0, 9)),
    st.tuples(st.sampled_from(["compact", "embed missing", "recut", "refresh", "damage"])),
)


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Library:
    """Make an empty collection."""
    return Library(database, tmp_path / "generations")


@pytest.fixture
def follower(library: Library) -> Follower:
    """Follow the library's database."""
    return Follower(library.database, library.generations_dir)


def check(follower: Follower, library: Library) -> None:
    """The follower's indexes hold and find what brute force over the database does."""
    follower.refresh()
    indexes = follower.indexes(library.id)
    vectors, texts = library.vectors(), library.texts()
    assert indexes.vectors.ids().tolist() == sorted(vectors)
    assert indexes.lexical.ids().tolist() == sorted(texts)
    for word in WORDS:
        query = EMBEDDER.embed_queries([word])
        scores, found = indexes.vectors.search(query, len(vectors))
        exact = {number: float(vector @ query[0]) for number, vector in vectors.items()}
        np.testing.assert_allclose(scores[0], sorted(exact.values(), reverse=True), atol=1e-5)
        np.testing.assert_allclose(scores[0], [exact[number] for number in found[0].tolist()], atol=1e-5)
        matching = {number for number, text in texts.items() if word in text.lower().split()}
        assert {number for number, _ in indexes.lexical.search(word, 1000)} == matching


def apply(library: Library, operation: tuple[object, ...]) -> None:
    """Carry out one step of a history; steps on a document need one."""
    name, *arguments = operation
    steps = {
        "compact": library.compact,
        "recut": library.recut,
        "embed missing": library.embed_missing,
        "damage": lambda: damage_all(library),
        "refresh": lambda: None,
    }
    if name in steps:
        steps[name]()
    elif name in {"add", "add unembedded"}:
        library.add(*arguments[0], embedded=name == "add")
    elif library.documents:
        change_document(library, str(name), *arguments)


def change_document(library: Library, name: str, which: int, texts: list[str] | None = None) -> None:
    """Replace, delete or retitle one of the documents that there are."""
    document = library.documents[which % len(library.documents)]
    if name == "replace":
        library.replace(document, *(texts or ()))
    elif name == "delete":
        library.delete(document)
    else:
        library.retitle(document, f"radio {which}")


def damage_all(library: Library) -> None:
    """Take the manifests of all bases away."""
    for manifest in library.generations_dir.glob(f"*/{MANIFEST}"):
        manifest.unlink()


@pytest.fixture(scope="module")
def shared_database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Keep one SQLite database for many histories, each in its own collection."""
    database = migrated_database(tmp_path_factory.mktemp("histories"))
    yield database
    database.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(operations, max_size=14))
def test_any_history_ends_in_the_same_indexes(
    shared_database: Database, tmp_path: Path, history: list[tuple[object, ...]]
) -> None:
    """A follower of every step, one of some steps and a fresh one all equal the database at the end."""
    library = Library(shared_database, tmp_path / "generations")
    diligent, lazy = (Follower(shared_database, library.generations_dir) for _ in range(2))
    lazy.indexes(library.id)
    for operation in history:
        apply(library, operation)
        check(diligent, library)
        if operation == ("refresh",):
            lazy.refresh()
    for follower in (lazy, Follower(shared_database, library.generations_dir)):
        check(follower, library)
    with shared_database.write() as session:
        delete_collection(session, library.id)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(st.tuples(st.integers(0, 2), st.booleans(), operations), max_size=20))
def test_any_history_of_several_collections_ends_in_the_same_indexes(
    shared_database: Database, tmp_path: Path, history: list[tuple[int, bool, tuple[object, ...]]]
) -> None:
    """Whichever of them a commit concerns, and however far behind each is, all equal the database."""
    folder = tmp_path / "generations"
    libraries = [Library(shared_database, folder) for _ in range(3)]
    diligent, lazy = Follower(shared_database, folder), Follower(shared_database, folder)
    for which, is_refreshed, operation in history:
        apply(libraries[which], operation)
        diligent.refresh()
        lazy.indexes(libraries[which].id)  # loaded at some number, the others at theirs
        if is_refreshed:
            lazy.refresh()
            numbers = {indexes.change_number for indexes in lazy._followed.values()}
            assert len(numbers) == 1
        for library in libraries[: which + 1]:
            check(diligent, library)
    for library in libraries:
        check(lazy, library)
        with shared_database.write() as session:
            delete_collection(session, library.id)


@pytest.mark.parametrize("change", ["add", "embed missing", "replace", "delete", "retitle"])
def test_a_change_of_any_kind_is_seen_in_its_collection_and_costs_nothing_in_others(
    library: Library, follower: Follower, change: str
) -> None:
    """However many are followed, a refresh after a commit asks as often as if there were two."""
    others = [Library(library.database, library.generations_dir) for _ in range(8)]
    library.add("penguin")
    library.add("kovacs")
    others[0].add("ice")
    statements: list[str] = []
    event.listen(
        library.database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
    )
    counts = []
    for followed in (others[:1], others):
        library.add("radio", embedded=False)
        for each in (library, *followed):
            follower.indexes(each.id)
        follower.refresh()
        arguments = {"add": (["ice"],), "embed missing": (), "replace": (0, ["ice"])}.get(change, (0,))
        apply(library, (change, *arguments))
        statements.clear()
        number = follower.refresh()
        counts.append(sum(statement.startswith("SELECT") for statement in statements))
        assert {indexes.change_number for indexes in follower._followed.values()} == {number}
        for each in (library, *followed):
            check(follower, each)
    assert counts[0] == counts[1]


def test_a_whole_life_on_both_databases(library: Library, follower: Follower) -> None:
    """Adding, embedding later, replacing, deleting, compacting and recutting are followed step by step."""
    first = library.add("ice", "diesel kovacs")
    check(follower, library)
    second = library.add("penguin", embedded=False)
    check(follower, library)
    library.embed_missing()
    check(follower, library)
    library.replace(first, "radio", "ice", "ice radio")
    check(follower, library)
    library.compact()
    check(follower, library)
    library.delete(second)
    check(follower, library)
    library.retitle(first, "kovacs")
    check(follower, library)
    library.recut()
    check(follower, library)
    check(Follower(library.database, library.generations_dir), library)


def test_a_deletion_is_seen_by_the_next_refresh(library: Library, follower: Follower) -> None:
    """After the commit of a deletion one refresh suffices to forget the document in both indexes."""
    document = library.add("ice")
    follower.refresh()
    indexes = follower.indexes(library.id)
    assert len(indexes.lexical.search("ice", 5)) == 1
    library.delete(document)
    assert follower.refresh() == follower.indexes(library.id).change_number
    assert indexes.lexical.search("ice", 5) == []
    assert indexes.vectors.search(EMBEDDER.embed_queries(["ice"]), 1)[1].tolist() == [[-1]]


def test_nothing_new_costs_one_select(library: Library, follower: Follower) -> None:
    """A refresh with nothing to do asks PostgreSQL once, and of SQLite only whether there was a commit."""
    library.add("ice")
    follower.indexes(library.id)
    follower.refresh()
    statements: list[str] = []
    event.listen(
        library.database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
    )
    follower.refresh()
    selects = [statement for statement in statements if statement.startswith("SELECT")]
    assert len(selects) == (1 if library.database.is_postgresql else 0)


def test_a_collection_that_is_loaded_late_is_followed(library: Library, follower: Follower) -> None:
    """What was committed while its indexes were read comes with the next refresh, without another commit."""
    library.add("ice")
    follower.refresh()

    def build_late(session: Session, generation: Generation, number: int) -> CollectionIndexes:
        built = build(session, generation, number)
        library.add("snow")
        follower.refresh()  # of another thread; it does not know the collection yet
        return built

    build = follower._build
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(follower, "_build", build_late)
        follower.indexes(library.id)
    follower.refresh()
    assert len(follower.indexes(library.id).lexical.search("snow", 5)) == 1


def test_only_what_is_asked_for_is_loaded(library: Library, follower: Follower) -> None:
    """Collections cost memory from the first search on, or when all are loaded on purpose."""
    other = Library(library.database, library.generations_dir)
    other.add("ice")
    follower.refresh()
    follower.indexes(library.id)
    assert set(follower._followed) == {library.id}
    assert follower.load_all() == 2
    assert set(follower._followed) == {library.id, other.id}
    assert len(follower.indexes(other.id).lexical) == 1
    assert len(follower.indexes(library.id).lexical) == 0


def test_one_broken_collection_does_not_hold_up_the_others(
    library: Library, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    """A collection with a stored vector of the wrong length is logged and refused, others are loaded."""
    other = Library(library.database, library.generations_dir)
    other.add("ice")
    library.add("ice")
    with library.database.write() as session:
        session.execute(update(Embedding).where(Embedding.collection_id == library.id).values(vector=b"\0\0"))
    assert follower.load_all() == 1
    assert library.id in caplog.text
    with pytest.raises(IndexDamaged, match="rag check --repair"):
        follower.indexes(library.id)
    check(follower, other)


def test_a_collection_that_breaks_later_does_not_hold_up_the_others(
    library: Library, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    """A change that can not be followed is logged, and only searches of its collection are refused."""
    other = Library(library.database, library.generations_dir)
    assert follower.load_all() == 2
    library.add("ice")
    with library.database.write() as session:
        session.execute(update(Embedding).where(Embedding.collection_id == library.id).values(vector=b"\0\0"))
    other.add("ice")
    check(follower, other)
    assert library.id in caplog.text
    with pytest.raises(IndexDamaged, match="rag check --repair"):
        follower.indexes(library.id)


def test_a_deleted_collection_is_dropped(library: Library, follower: Follower) -> None:
    """The next refresh drops the indexes of a collection that is gone, and then it is not found."""
    library.add("ice")
    follower.indexes(library.id)
    with library.database.write() as session:
        delete_collection(session, library.id)
    follower.refresh()
    with pytest.raises(CollectionNotFound):
        follower.indexes(library.id)


def test_a_collection_without_a_generation_is_not_ready(library: Library, follower: Follower) -> None:
    """A collection that nothing serves is dropped, and says what to do."""
    follower.indexes(library.id)
    with library.database.write() as session:
        session.execute(delete(ActiveGeneration).where(ActiveGeneration.collection_id == library.id))
    follower.refresh()
    with pytest.raises(NotReady, match="rag reindex"):
        follower.indexes(library.id)


def test_a_switch_of_the_generation_is_followed(library: Library, follower: Follower) -> None:
    """After a promotion the next refresh serves the new generation; texts of one chunking are kept."""
    library.add("ice")
    before = follower.indexes(library.id)
    generation = library.compact()
    library.add("diesel")
    follower.refresh()
    after = follower.indexes(library.id)
    assert after.generation_id == generation
    assert after.lexical is before.lexical
    check(follower, library)


def test_a_database_that_goes_back_to_an_older_state_is_followed(
    library: Library, follower: Follower
) -> None:
    """What was lost with it is not found any more, and what comes under the same numbers is."""
    library.add("ice")
    lost = library.add("radio", "diesel")
    check(follower, library)
    go_back(library, lost)
    check(follower, library)
    library.add("penguin")
    check(follower, library)


@pytest.mark.parametrize("noticed", [False, True])
def test_a_load_that_a_return_to_an_older_state_overtakes_is_not_kept(
    library: Library, follower: Follower, monkeypatch: pytest.MonkeyPatch, *, noticed: bool
) -> None:
    """What it has read is lost since, whether a refresh sees that before it is done or only afterwards."""
    library.add("ice")
    follower.refresh()
    lost = library.add("radio", "diesel")
    build = follower._build

    def build_while_it_goes_back(*given: object) -> object:
        monkeypatch.undo()
        if noticed:
            follower.refresh()
        built = build(*given)
        go_back(library, lost)
        if noticed:
            follower.refresh()
        return built

    monkeypatch.setattr(follower, "_build", build_while_it_goes_back)
    follower.indexes(library.id)
    check(follower, library)
    library.add("penguin")
    check(follower, library)


def go_back(library: Library, lost: str) -> None:
    """Let a database be as it was before its last document came: without tombstones."""
    with library.database.write() as session:
        session.execute(delete(Document).where(Document.id == lost))
        session.execute(update(ChangeSequence).values(number=ChangeSequence.number - 1))
    library.documents.remove(lost)


def test_tombstones_folded_in_before_they_were_seen(library: Library, follower: Follower) -> None:
    """A compaction may remove tombstones that this process never read; the document is gone all the same."""
    document = library.add("ice")
    library.add("diesel")
    follower.indexes(library.id)
    library.delete(document)
    library.compact(prune=True)
    check(follower, library)


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_a_damaged_base_is_replaced_by_the_database(
    library: Library, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A base that is missing, cut short or another generation's is a warning, and searches are right."""
    library.add("ice", "diesel")
    library.add("penguin")
    generation = library.compact()
    library.add("radio")
    folder = library.generations_dir / generation
    if damage == "gone":
        shutil.rmtree(folder)
    elif damage == "cut":
        (folder / VECTORS).write_bytes((folder / VECTORS).read_bytes()[:-8])
    else:
        with library.database.write() as session:
            session.execute(
                update(Generation).where(Generation.id == generation).values(chunking="other/64/8")
            )
    with caplog.at_level(logging.WARNING):
        check(Follower(library.database, library.generations_dir), library)
    assert generation in caplog.text


def test_the_base_is_read_and_only_the_tail_from_the_database(library: Library, follower: Follower) -> None:
    """Loading reads vectors of the base from its files: what the database has for them does not matter."""
    library.add("ice")
    library.compact()
    library.add("diesel")
    indexes = follower.indexes(library.id)
    assert [len(segment.ids) for segment in indexes.vectors._segments] == [1, 1]


def test_many_readers_and_a_writer(library: Library, follower: Follower) -> None:
    """Readers that refresh and search while documents come and go never find one deleted before."""
    gone: set[int] = set()
    stop = threading.Event()

    def write() -> None:
        for turn in range(15):
            document = library.add("ice", "ice diesel")
            ids = set(library.texts())
            if turn % 5 == 4:
                library.compact()
            library.delete(document)
            gone.update(ids)
        stop.set()

    def read() -> int:
        searches = 0
        while not stop.is_set() or searches == 0:
            forbidden = set(gone)
            follower.refresh()
            indexes = follower.indexes(library.id)
            found = {number for number, _ in indexes.lexical.search("ice", 50)}
            found |= set(indexes.vectors.search(EMBEDDER.embed_queries(["ice"]), 50)[1][0].tolist())
            assert not found & forbidden
            searches += 1
        return searches

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        pool.submit(write).result()
        assert all(reader.result() > 0 for reader in readers)
    check(follower, library)


def test_threads_load_a_collection_once(library: Library, follower: Follower) -> None:
    """Many first searches at once share one build."""
    library.add("ice")
    with ThreadPoolExecutor(8) as pool:
        built = list(pool.map(lambda _: follower.indexes(library.id), range(8)))
    assert all(each is built[0] for each in built)
