"""Passages of a real collection, for questions to be written about."""

from pathlib import Path

from posttrain.data.collection import collection_passages
from rag_service.evaluation.beir import SetDocument
from rag_service.evaluation.loading import collection_of_set
from tests.factories import migrated_database
from tests.fakes import FakeEmbedder


def test_a_collections_passages_come_in_one_random_order(tmp_path: Path) -> None:
    """Every chunk that is more than a heading comes out once, with its document's title."""
    texts = [f"Pump {n} stands in room {n} and burns {n} litres an hour, day and night." for n in range(9)]
    documents = [SetDocument(f"d{n}", f"Pump {n}", text) for n, text in enumerate(texts)]
    documents.append(SetDocument("short", "Nothing", "Only a remainder."))
    database = migrated_database(tmp_path)
    try:
        name = collection_of_set(database, "pumps", documents, FakeEmbedder())
        with database.read() as session:
            passages = collection_passages(session, name)
            assert passages == collection_passages(session, name)
            assert len(collection_passages(session, name, limit=3)) == 3
    finally:
        database.close()
    assert sorted(passage.text for passage in passages) == sorted(texts)
    assert {passage.title for passage in passages} == {f"Pump {n}" for n in range(9)}
    assert [passage.text for passage in passages] != texts
