"""Filters in SQL against a plain reading of the grammar in Python, on a real database."""

import operator
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, delete, make_url, select, text

from corpus import migrations
from corpus.database import Database
from corpus.models import Collection, Document
from rag_service.retrieval.filter_sql import document_condition
from rag_service.retrieval.filters import (
    Combination,
    Filter,
    Membership,
    Value,
    moment_of,
    parse_filter,
)
from tests.factories import migrated_database

KEYS = ["year", 'a"b', "$.x", "a.b", "é", "", "title", "media_type", "external_id", "created_at"]
TEXTS = ["", "1", "true", "2024", "B", "a", "z", "é", "\U0001d6fc", "'; --", "\\", '"']
NUMBERS = [0, 1, -1, 2024, 1.5, 0.1, 0.30000000000000004, 1e300, 2**53 + 1, 2**62]
MOMENTS = ["2024-01-01", "2024-01-01T00:00:00+02:00", "2025-06-30T12:00:00.000001", 1704067200]

scalars = st.sampled_from([*TEXTS, *NUMBERS, True, False])
stored_values = scalars | st.none() | st.just([1]) | st.just({"a": 1})
metadata = st.dictionaries(st.sampled_from(KEYS), stored_values, max_size=5)


@st.composite
def leaves(draw: st.DrawFn) -> dict[str, object]:
    """A comparison or membership that the grammar allows."""
    key = draw(st.sampled_from([key for key in KEYS if key]))
    kind = draw(st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]))
    values = scalars
    if key in {"title", "media_type", "external_id"}:
        values = st.sampled_from(TEXTS)
    if key == "created_at":
        values = st.sampled_from(MOMENTS)
    if kind in {"in", "nin"}:
        return {"type": kind, "key": key, "value": draw(st.lists(values, max_size=4))}
    ordered = kind in {"gt", "gte", "lt", "lte"}
    value = draw(values.filter(lambda value: not isinstance(value, bool)) if ordered else values)
    return {"type": kind, "key": key, "value": value}


filters = st.recursive(
    leaves(),
    lambda inner: st.builds(
        lambda kind, parts: {"type": kind, "filters": parts},
        st.sampled_from(["and", "or"]),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=4,
)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """The columns of a document that a filter can name."""
    moment = moment_of(draw(st.sampled_from(MOMENTS)), "")
    return {
        "title": draw(st.sampled_from(TEXTS)),
        "media_type": draw(st.sampled_from(TEXTS)),
        "external_id": draw(st.none() | st.sampled_from(TEXTS)),
        "created_at": moment,
        "metadata_": draw(metadata),
    }


def matches(filter_: Filter, document: dict[str, Any]) -> bool:
    """The reference: what the module's docstring says, word by word."""
    if isinstance(filter_, Combination):
        return (all if filter_.type == "and" else any)(matches(part, document) for part in filter_.filters)
    if isinstance(filter_, Membership):
        found = any(holds("eq", filter_.key, value, document) for value in filter_.values)
        return found == (filter_.type == "in")
    if filter_.type == "ne":
        return not holds("eq", filter_.key, filter_.value, document)
    return holds(filter_.type, filter_.key, filter_.value, document)


def holds(kind: str, key: str, value: Value, document: dict[str, Any]) -> bool:
    """Whether a value of the right type is there and stands in the relation."""
    if key == "created_at":
        stored, wanted = document["created_at"], moment_of(value, key)
    else:
        stored, wanted = document[key] if key in document else document["metadata_"].get(key), value
        kinds = {bool: bool, str: str, int: (int, float), float: (int, float)}[type(value)]
        if not isinstance(stored, kinds) or isinstance(stored, bool) != isinstance(value, bool):
            return False
    relations = {
        "eq": operator.eq,
        "gt": operator.gt,
        "gte": operator.ge,
        "lt": operator.lt,
        "lte": operator.le,
    }
    return bool(relations[kind](stored, wanted))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database of each kind, with one collection."""
    if request.param == "sqlite":
        database = migrated_database(Path(tmp_path_factory.mktemp("filters")))
    else:
        database = own_postgresql(request.getfixturevalue("postgresql_server"))
    with database.write() as session:
        session.add(Collection(id="col_1", name="c", created_at=datetime.now(UTC)))
    yield database
    database.close()


def own_postgresql(server: str) -> Database:
    """Return a migrated database of its own on the server."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE rag_filters"))
    engine.dispose()
    database = Database(make_url(server).set(database="rag_filters").render_as_string(hide_password=False))
    migrations.upgrade(database)
    return database


def found_titles(database: Database, filter_: Filter, rows: list[dict[str, Any]]) -> set[str]:
    """Store the documents, ask for the filter, and return the ids that it keeps."""
    with database.write() as session:
        session.execute(delete(Document))
        for number, row in enumerate(rows):
            fixed = {"id": f"doc_{number}", "collection_id": "col_1", "status": "ready", "version": 1}
            external = {"external_id": None if row["external_id"] is None else f"{row['external_id']}"}
            session.add(Document(**{**fixed, **row, **external, "sha256": "0" * 64}))
            session.flush()
    with database.read() as session:
        condition = document_condition(filter_, postgresql=database.is_postgresql)
        return set(session.scalars(select(Document.id).where(condition)))


@settings(max_examples=150, deadline=None)
@given(
    data=filters,
    rows=st.lists(
        documents(),
        max_size=6,
        unique_by=lambda row: object() if row["external_id"] is None else row["external_id"],
    ),
)
def test_sql_keeps_what_the_grammar_says(
    database: Database, data: object, rows: list[dict[str, Any]]
) -> None:
    """For any documents and any filter, SQL and the plain reading agree."""
    filter_ = parse_filter(data)
    expected = {f"doc_{number}" for number, row in enumerate(rows) if matches(filter_, row)}
    assert found_titles(database, filter_, rows) == expected


def test_a_thousand_values_are_one_list(database: Database) -> None:
    """The longest list that is allowed is answered, not too deep for the database."""
    row = {"title": "t", "media_type": "m", "external_id": None, "created_at": datetime.now(UTC)}
    rows = [row | {"metadata_": {"n": number}} for number in (5, 5000)]
    filter_ = parse_filter({"type": "in", "key": "n", "value": list(range(1000))})
    assert found_titles(database, filter_, rows) == {"doc_0"}
