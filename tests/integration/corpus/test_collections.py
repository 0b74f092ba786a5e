"""Racing makers of one collection, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import func, select

from corpus.collections import (
    CollectionNames,
    active_generation,
    create_collection,
    delete_collection,
    find_or_create_collection,
)
from corpus.database import Database
from corpus.errors import CollectionExists, CollectionNotFound
from corpus.models import Collection, Generation
from tests.fakes import FakeEmbedder

EMBEDDER = FakeEmbedder()


def test_racing_first_users_get_one_default_collection(database: Database) -> None:
    """Of several processes that need `default` at once, one makes it and all get it."""
    together = Barrier(4)

    def first_use(_: int) -> str:
        together.wait()
        with database.write() as session:
            return find_or_create_collection(session, name="default", embedder=EMBEDDER).id

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(first_use, range(4)))) == 1
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Generation)) == 1


def test_a_taken_name_leaves_the_transaction_usable(database: Database) -> None:
    """After the refusal of a name the same transaction can go on and commit."""
    with database.write() as session:
        create_collection(session, name="polar", embedder=EMBEDDER)
    with database.write() as session:
        with pytest.raises(CollectionExists):
            create_collection(session, name="polar", embedder=EMBEDDER)
        other = create_collection(session, name="other", embedder=EMBEDDER)
    with database.read() as session:
        assert active_generation(session, other.id).state == "active"


def test_deleting_goes_through_all_foreign_keys(database: Database) -> None:
    """A collection with a generation that serves it can be deleted in one transaction."""
    with database.write() as session:
        made = create_collection(session, name="polar", embedder=EMBEDDER)
    with database.write() as session:
        assert len(delete_collection(session, made.id).generations) == 1
    with database.read() as session:
        assert session.scalars(select(Collection.id)).all() == []
        assert session.scalars(select(Generation.id)).all() == []


def test_names_are_never_remembered_beyond_a_commit(database: Database) -> None:
    """A collection that was deleted is gone, and one of the same name is another one."""
    names = CollectionNames(database)
    with database.write() as session:
        first = create_collection(session, name="notes", embedder=EMBEDDER).id
    assert names.ids(("notes", first)) == names.ids(("notes", first)) == [first]
    with database.write() as session:
        delete_collection(session, first)
    with pytest.raises(CollectionNotFound):
        names.ids(("notes", first))
    with database.write() as session:
        second = create_collection(session, name="notes", embedder=EMBEDDER).id
    assert names.ids(("notes",)) == [second] != [first]
